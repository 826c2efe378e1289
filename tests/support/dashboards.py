"""The whole daemon on sockets of 127.0.0.1, in the test's process, and a browser that looks at its page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import TestCase

from mtmount_twisted.app.bridge_service import BridgeService
from mtmount_twisted.bridge.event_bus import EventBus
from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import Controller, PortCommanders, WebSettings
from mtmount_twisted.journal.recorder import Journal
from mtmount_twisted.journal.schema import FileOptions
from mtmount_twisted.records import ChangeRecord
from mtmount_twisted.replies import Reply
from mtmount_twisted.simulator.service import SimulatorService
from mtmount_twisted.simulator.tma2022.service import SimulatorService as MountOfToday
from mtmount_twisted.testing import HOST, ChaosProxy

from .browsers import browser, missing
from .folders import scratch_path

reactor: Any = _reactor
LOG = logging.getLogger("mtmount_twisted.tests.dashboard")
LOG.propagate = False
LOG.addHandler(logging.NullHandler())


class House:
    """A bridge with a journal, a simulated mount, the web, and a way to it that can be cut.

    :param journal: the journal's file.
    :param speed: how many times faster than a real one the mount moves.
    :param settings: of the web; the defaults if None.
    """

    def __init__(
        self, journal: str, tokens: Any = None, speed: float = 1.0, settings: WebSettings | None = None
    ) -> None:
        from mtmount_twisted.frontends.web.service import Parts, WebService

        self._speed = speed
        self._mount_port = 0
        hall = PortCommanders(name="hall", endpoint=f"tcp:0:interface={HOST}")
        desk = PortCommanders(name="desk", endpoint=f"tcp:0:interface={HOST}", role="commander")
        config = Config(controller=self.controller(), pairs=(), ports=(hall, desk))
        self.journal = Journal(journal, LOG, options=FileOptions(config.dialect))
        bus = EventBus(reactor, self.journal)
        self.served = BridgeService(config, LOG, bus)
        parts = Parts(self.served, bus, self.journal, config.clients)

        self.web = WebService(settings or WebSettings(), f"tcp:0:interface={HOST}", tokens, parts, LOG)

    def controller(self) -> Controller | None:
        """Return where the mount is; None if the link is told later."""
        return None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.way.port}/"

    @property
    def desk_port(self) -> int:
        """The TCP port of commanders beside the page."""
        return int(self.served.ports[1].getHost().port)

    async def start(self) -> None:
        """Start everything."""
        self.journal.start()
        self.journal.keep(ChangeRecord(time.time(), 0, "", "started"))
        self.served.startService()
        await self.start_mount()
        self.web.startService()
        assert not self.web.failure, self.web.failure
        self.way = ChaosProxy(reactor)
        await self.mend()

    async def start_mount(self) -> None:
        """Start the mount, where it was before if it was; wait until the bridge is connected to it."""
        link = self.served.link
        self.mount = SimulatorService(command_port=self._mount_port, reply_port=0, speed=self._speed, log=LOG)
        self.mount.startService()
        port = await self.mount.wait_command_port()
        connecting = self.mount.communicator.connect(link.server_port)
        if not self._mount_port:
            link.connect(port)
        self._mount_port = port
        await connecting

    async def stop_mount(self) -> None:
        """The mount is gone, and both its connections with it."""
        await self.mount.stopService()

    async def cut(self) -> None:
        """Cut the way from browsers to the daemon."""
        self.way.target_port = 0
        self.way.reset()

    async def mend(self) -> None:
        """Let them through, as at first."""
        self.way.target_port = int(self.web.address.rpartition(":")[2])

    async def freeze(self) -> None:
        """Nothing comes through to the daemon nor from it, and connections stay: as if it were stopped."""
        self.way.set(hang=True)

    async def thaw(self) -> None:
        """All that was held goes on."""
        self.way.clear()

    async def stop(self) -> None:
        """Stop everything that still runs."""
        await self.served.stopService()
        await self.way.stop()
        await self.web.stopService()
        await self.mount.stopService()
        await self.journal.stop()

    async def say(self, *replies: Reply) -> None:
        """The mount says something unasked."""
        for reply in replies:
            await self.mount.communicator.write(reply)


class HouseOfToday(House):
    """A house whose mount speaks tma2022: it sends telemetry.

    :param options: of the simulated mount.
    """

    mount: Any

    def __init__(self, journal: str, settings: WebSettings | None = None, **options: Any) -> None:
        self._options = options
        self._ports = (0, 0)
        self._begin_mount()
        super().__init__(journal, settings=settings)

    def controller(self) -> Controller:
        """Return both ports of the mount, which listens already."""
        return Controller(
            host=HOST, dialect="tma2022", command_port=self._ports[0], telemetry_port=self._ports[1]
        )

    def _begin_mount(self) -> None:
        command, telemetry = self._ports
        self.mount = MountOfToday(command_port=command, telemetry_port=telemetry, log=LOG, **self._options)
        self.mount.startService()
        self._ports = self.mount.port_numbers()

    async def start(self) -> None:
        """Start everything, with the positions on the sky, as the daemon does."""
        await super().start()
        await self.served.load_numbers()

    async def start_mount(self) -> None:
        """Start the mount unless it runs, on its ports; the bridge connects by itself."""
        if not self.mount.running:
            self._begin_mount()


def on_reactor(work: Callable[..., Any], *args: Any) -> None:
    """From the browser's thread: do something on the reactor's, and wait for its end."""
    blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(work(*args)))


class DashboardCase(TestCase):
    """A house for each test.

    :cvar speed: of the mount.
    :cvar settings: of the web; the defaults if None.
    """

    timeout = 60
    skip = missing() or None
    speed = 1.0
    settings: WebSettings | None = None

    async def setUp(self) -> None:
        """Start the house."""
        self.house = House(str(scratch_path(self)), self.tokens(), self.speed, self.settings)
        await self.house.start()
        self.addCleanup(self.stop)

    def stop(self) -> Deferred[None]:
        """Stop the house."""
        return Deferred.fromCoroutine(self.house.stop())

    def tokens(self) -> Any:
        """Return the tokens of the users; None to let anyone in. A test may override it."""
        return None

    def browse(self, work: Callable[[Any], None], live: bool = True, **options: Any) -> Deferred[None]:
        """Open the page and do something with it, which also fails if a script of the page's did.

        :param live: True to wait until the page is live.
        """

        def whole(page: Any) -> None:
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(self.house.url)
            if live:
                page.wait_for_selector("body[data-live=yes]")
            work(page)
            assert not errors, errors

        return browser().run(whole, **options)
