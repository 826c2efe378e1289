"""The bridge: shares the mount's one connection among its commanders.

`core` decides, with `arbiter` (command), `dispatcher` and `pending` (commands in flight), `registry`
(clients) and `last_values`. `effects` has the loop that performs the decisions. Sockets belong to `upstream`
and `frontends`, which report to the core; `app.bridge_service` connects them. Next to read:
`core`.
"""
