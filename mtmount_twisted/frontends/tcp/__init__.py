"""Commanders on the wire: pairs and ports, with TLS. Each client becomes a client of the bridge's core.

The folder knows sockets, and no message. Next to read: `commanders`, the pairs; `ports`.
"""
