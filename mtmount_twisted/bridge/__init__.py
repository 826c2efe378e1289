"""The bridge: shares the mount's one connection pair among those who command it.

`core` decides, with `arbiter` (command), `dispatcher` and `pending` (commands in flight), `registry`
(clients) and `last_values`. Sockets belong to `upstream` and `frontends`, which tell the core what happens;
`app.bridge_service` connects them.
"""
