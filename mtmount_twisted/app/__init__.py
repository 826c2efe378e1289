"""Where a process is put together: options, ``makeService``, signals, the log, systemd.

`bridge` and `simulator` make the services that ``twistd`` runs; `bridge_service` connects the bridge's core
to its sockets. `daemon` holds what both daemons share. May import every other folder; no other folder imports
this one.
"""
