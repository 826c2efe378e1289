"""What the bridge shows to people and programs over HTTP: state, commands, live events, dashboard, metrics.

Optional (the ``web`` extra), and unable to slow the mount down: it subscribes to the records of the bridge
(`bridge.event_bus`), and commands as a client like any other. Next to read: `calls`, what a request is here.
"""
