"""The child process that speaks to the message broker: asyncio and ``nats-py``, in a process of its own.

The bridge starts the process (``frontends.broker``) and never imports this package: a crash, a hang or a
flood here can't touch the mount's link. Next to read: `contracts`, the interface of the broker for the other
modules; `outbox`, which publishes the journal.
"""
