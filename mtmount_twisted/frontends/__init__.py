"""The side of the bridge that faces people and programs.

`tcp` has the commanders on the wire, `web` the page and the API.

Each may use the bridge's core, and neither the other one nor `upstream`. Next to read: `tcp.commanders`;
`web.service`.
"""
