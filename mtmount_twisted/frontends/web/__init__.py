"""The HTTP front end: the state, commands, live events, the page and the metrics.

It is optional (the ``web`` extra) and can't delay the mount: it subscribes to the records of the bridge
(`bridge.event_bus`), and sends commands as any other client does. Next to read: `service`, which assembles
it; `http.calls`, the requests and answers.
"""
