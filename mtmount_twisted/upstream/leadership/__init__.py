"""Leadership: which of several bridges commands the mount.

`tenure` decides, `service` performs its decisions, `guard` notices that the process stood still, and `hook`
runs the site's program for the address. `tenure` and `register` are pure. Next to read: `tenure`.
"""
