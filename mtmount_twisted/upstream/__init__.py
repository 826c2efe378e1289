"""The side of the bridge that faces the mount: the connections to the controller and to its telemetry.

The folder knows the bridge's core, and no front end. Next to read: `link`; `telemetry_link`.
"""
