"""The simulated tma2022 mount, as ``protocol-tma2022.rst`` describes it.

* `execution`: the execution of a command from its Ack to its end.
* `axis`, `devices`, `safety` and `settings`: the effects of commands.
* `handlers`: the table from each command class to its handler.
* `events`: the events about the state of the mount.
* `mount`: `SimulatedMount`, the whole mount; no sockets, no bytes.

``docs/reference/simulator-tma2022.rst`` lists its deviations from the recorded mock controller.

Only `service` and `connections` touch sockets. Next to read: `mount`; `service`, the mount on its sockets.
"""
