"""The side of the bridge that faces people and programs.

`tcp` has the commanders on the wire, `web` the page and the API, `broker` the process for the message broker.
Each may use the bridge's core, but no other front end and not `upstream`. Next to read: `tcp.commanders`;
`web.service`; `broker.service`.
"""
