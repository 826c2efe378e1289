"""Network I/O: lines, the halves of a pair, liveness, bounded queues in both directions, names, TLS, threads.

This folder knows no message. `halves` and `pair` make the connections of the 2020 protocol; `protocol` splits
and writes lines. A call that could block runs in a thread of `threads`. A timer that judges a peer is a
`deadlines.Deadline`. Next to read: `protocol`, then `halves`.
"""
