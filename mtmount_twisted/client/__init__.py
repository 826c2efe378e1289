"""The classes that a program imports: `communicator.Communicator`, `mount.Mount`,
`duplex.DuplexCommunicator` and `telemetry.TelemetryClient`.

They send and receive messages and return Deferreds. Sockets belong to `net`, bytes to `dialects`.

Next to read: `communicator`, then `mount`.
"""
