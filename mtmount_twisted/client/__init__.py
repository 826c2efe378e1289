"""What a program imports: `communicator.Communicator`, `mount.Mount`, and `duplex` for one connection to the
bridge.

Messages in and out, as Deferreds. Sockets belong to `net`, bytes to `dialects`.
"""
