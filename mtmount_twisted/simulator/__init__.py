"""A mount that isn't there: it answers commands over the wire as ``protocol-tma2020.rst`` says.

* `motion`: paths of axes, exact at any time; pure.
* `execution`: a command from its Ack to its end.
* `devices` and `axis`: what each device does with each of its commands.
* `mount`: `SimulatedMount`, all devices together, and who has command.
* `faults` and `output`: what goes wrong with what it says, if it was told so.
* `service`: `SimulatorService`, the mount behind a `Communicator`.

``docs/reference/simulator.rst`` lists what is simplified.
"""
