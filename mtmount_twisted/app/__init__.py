"""The assembly of a process: options, ``makeService``, signals, the log, systemd.

`bridge` and `simulator` make the services that ``twistd`` runs. `bridge_service` connects the bridge's core
to its sockets. `daemon` holds the code that both daemons share. This folder may import every other folder; no
other folder imports it. Next to read: `bridge`.
"""

import gc

# The modules that `twistd` and this package have imported by now stay until the end. Without this call, the
# import of a daemon's other modules causes a full garbage collection, which examines these modules, too, and
# takes a twentieth of the time of a start.
gc.freeze()
