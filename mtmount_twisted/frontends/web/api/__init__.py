"""The routes: state, commands, leases, history, health, metrics, and the documents that describe them.

A route receives a `Call` and returns an `Answer`; it touches no connection. Next to read: `commanders`, the
routes that send commands; ``http.routing``, which calls the routes.
"""
