"""What ``twistd`` can start. It imports nothing of ours and not the reactor: see `mtmount_twisted.tap`."""

from twisted.application.service import ServiceMaker

mtmount_bridge = ServiceMaker(
    "mtmount_twisted bridge",
    "mtmount_twisted.tap",
    "Relay between a commander and a telescope mount.",
    "mtmount-bridge",
)

mtmount_simulator = ServiceMaker(
    "mtmount_twisted simulator",
    "mtmount_twisted.simulator.tap",
    "Simulate a telescope mount for a commander.",
    "mtmount-simulator",
)
