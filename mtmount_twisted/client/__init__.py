"""The classes that a program imports: `communicator.Communicator`, `mount.Mount` and
`duplex.DuplexCommunicator`.

They send and receive messages and return Deferreds. Sockets belong to `net`, bytes to `dialects`.
"""
