"""Sockets: bytes to lines, the halves of a pair, liveness, bounded queues both ways, names, TLS, threads.

Nothing here knows a message. `halves` and `pair` are the connections of the 2020 protocol; `protocol` splits
lines and writes them. A wait that could block runs in a thread of `threads`, a deadline that judges a peer is
a `deadlines.Deadline`.
"""
