"""HTTP: connections and their bounds, routing, rights, and the files of the page.

The folder does network I/O, and no module here knows the mount. `site` accepts connections, `guard` checks
users, `routing` calls the routes, and `encoding` makes the bytes of an answer. Next to read: `calls`, the
values that the modules exchange.
"""
