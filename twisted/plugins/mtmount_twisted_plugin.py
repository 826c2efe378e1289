"""What ``twistd`` can start. It imports nothing of ours and not the reactor: see `app.bridge`."""

from twisted.application.service import ServiceMaker

mtmount_bridge = ServiceMaker(
    "mtmount_twisted bridge",
    "mtmount_twisted.app.bridge",
    "Relay between a commander and a telescope mount.",
    "mtmount-bridge",
)

mtmount_simulator = ServiceMaker(
    "mtmount_twisted simulator",
    "mtmount_twisted.app.simulator",
    "Simulate a telescope mount for a commander.",
    "mtmount-simulator",
)
