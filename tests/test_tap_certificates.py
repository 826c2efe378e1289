"""What ``twistd mtmount-bridge`` says of certificates whose time is over."""

from __future__ import annotations

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import daemon

from . import certificates
from .programs import HOST, ProgramCase

try:
    from twisted.internet import ssl
except ImportError:  # the extra is not installed
    ssl = None  # type: ignore[assignment]


class Then(datetime.datetime):
    """A clock that stands, long ago."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime(2020, 2, 27, 14, 48, 27, tzinfo=tz)


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class ExpiredTests(ProgramCase):
    """A port whose own certificate, and whose authority's, have expired: each is a warning, no more."""

    def configured(self) -> str:
        """A configuration with such a port."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        with_clock = SimpleNamespace(datetime=Then, UTC=datetime.UTC, timedelta=datetime.timedelta)
        self.patch(certificates, "datetime", with_clock)
        authority = certificates.Authority(folder)
        self.own, self.ca = authority.issue("bridge"), authority.ca
        return self.file(
            f'[[port]]\nname = "desk"\nendpoint = "tcp:0:interface={HOST}"\n'
            f'certificate = "{self.own}"\nclient_ca = "{self.ca}"\n'
        )

    def warnings(self) -> list[str]:
        """What is to be said of it."""
        return [
            f"port[1].{key}: {path}: CN={name} expired on 2020-02-28 14:48 UTC"
            for key, path, name in (
                ("certificate", self.own, "bridge"),
                ("client_ca", self.ca, "test authority"),
            )
        ]

    async def test_check_config(self) -> None:
        """``--check-config`` says so, and that the configuration is right."""
        program = self.twistd("mtmount-bridge", "--check-config", "--config", self.configured())
        self.assertEqual(await program.ended, 0)
        for warning in self.warnings():
            self.assertIn(f"mtmount-bridge: warning: {warning}\n", program.output)
        self.assertIn("the configuration is right", program.output)

    async def test_start(self) -> None:
        """The log says so at a start and at a reload, and the daemon serves."""
        program = self.twistd("-n", "mtmount-bridge", "--config", self.configured())
        for number in (1, 2):
            await program.line("serving ", number)
            for warning in self.warnings():
                self.assertEqual(program.output.count(f"#warn] out of date: {warning}"), number, warning)
            if number == 1:
                program.transport.signalProcess("HUP")
        await self.assert_ends(program)


@skipIf(ssl is None, "mtmount_twisted[tls] is not installed")
class ValidTests(SynchronousTestCase):
    """Files of which nothing is to be said."""

    def test_valid(self) -> None:
        """A certificate that is still good is not spoken of, nor the key beside it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        authority = certificates.Authority(folder)
        for path in (authority.ca, authority.issue("bridge")):
            self.assertEqual(daemon.expired(str(path)), [])

    def test_gone(self) -> None:
        """A file that can't be read any more is told of by who needs it, not here."""
        self.assertEqual(daemon.expired(self.mktemp()), [])
