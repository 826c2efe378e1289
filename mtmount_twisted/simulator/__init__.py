"""A simulated mount, which answers commands over the wire as ``protocol-tma2020.rst`` describes.

* `motion`: the paths of axes, exact at any time; pure.
* `execution`: the execution of a command from its Ack to its end.
* `devices` and `axis`: the effect of each command on each device.
* `mount`: `SimulatedMount`, all devices together, and the commander that has command.
* `faults` and `output`: injected faults in the replies.
* `service`: `SimulatorService`, the mount behind a `Communicator`.

``docs/reference/simulator.rst`` lists the simplifications. Only `service` uses the network. Next to read:
`mount`.
"""
