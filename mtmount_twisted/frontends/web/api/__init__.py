"""The routes: state, commands, leases, history, health, metrics, and the documents that describe them."""
