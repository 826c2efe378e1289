"""Commanders on the wire: pairs and ports, with TLS. Each client becomes a client of the bridge's core."""
