"""The certificates of the ports and of the page: read from the files of a configuration, and watched.

It reads the certificate files, and sends nothing. Next to read: `tls`, the handshakes with clients that have
certificates; `net.tls`, which reads a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NoReturn

import attrs
from twisted.application.internet import TimerService
from twisted.internet.interfaces import IReactorTime

from mtmount_twisted.config.loading import Config
from mtmount_twisted.config.settings import ManyClients
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.net.tls import Credentials, date_warnings, endpoint_credentials, load_credentials
from mtmount_twisted.wire.fields import utc_now

DAY = 86_400.0
"""The interval between two checks of the certificates' dates, in seconds."""


def credentials_of(settings: ManyClients) -> Credentials | None:
    """Return the certificates that a port presents and trusts, or None for a port without TLS.

    If `with_credentials` has stored them in the settings, the files are not read again.

    :raises ConfigError: if a file can't be used.
    """
    if settings.credentials is not None:
        found: Credentials = settings.credentials
        return found
    if settings.certificate is None:
        return endpoint_credentials(settings.endpoint)
    key = settings.private_key or settings.certificate
    return load_credentials(settings.certificate, key, settings.client_ca or "")


def with_credentials(config: Config, wrong: Callable[[str, ConfigError], NoReturn]) -> Config:
    """Return a copy of the configuration that contains the certificates read from its files now.

    :param wrong: called with the key and the error of the first file that can't be used; must raise.
    """
    ports = {}
    for section, port in config.client_ports.items():
        key = "endpoint" if port.certificate is None else "certificate"
        try:
            credentials = credentials_of(attrs.evolve(port, credentials=None))
        except ConfigError as error:
            wrong(f"{section}.{key}", error)
        ports[section] = {"credentials": credentials}
    web = config.web
    if "web" in config.endpoints:
        try:
            web = attrs.evolve(web, credentials=endpoint_credentials(config.endpoints["web"].text))
        except ConfigError as error:
            wrong("web.endpoint", error)
    return attrs.evolve(config.with_client_ports(ports), web=web)


def certificate_warnings(config: Config, now: datetime) -> Iterator[str]:
    """Yield one line for each certificate that has expired or expires soon; a line begins with the key.

    :param config: a configuration from `with_credentials`.
    :param now: the current time, with a time zone.
    """
    sections = [
        (section, "certificate" if port.certificate else "endpoint", port.credentials)
        for section, port in config.client_ports.items()
    ]
    for section, own, credentials in (*sections, ("web", "endpoint", config.web.credentials)):
        if credentials is None:
            continue
        for key, file, certificates in (
            (own, credentials.chain_file, credentials.chain),
            ("client_ca", credentials.authorities_file, credentials.authorities),
        ):
            for why in date_warnings(certificates, now):
                yield f"{section}.{key}: {f'{file}: ' if file else ''}{why}"


class CertificateWatch(TimerService):
    """Log the certificates in use that have expired or expire soon: at the start, and once a day.

    :param config: returns the configuration in use, from `with_credentials`.
    :param clock: the clock for the daily timer; the reactor if None.
    :param now: returns the current time, with a time zone.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        log: logging.Logger,
        clock: IReactorTime | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(DAY, self.warn)  # type: ignore[no-untyped-call]
        self.name = "mtmount-certificates"
        self.clock = clock
        self._config = config
        self._log = log
        self._now = now

    def warn(self, config: Config | None = None) -> None:
        """Log a line for each certificate that has expired or expires soon.

        :param config: a configuration to check before it is in use; the one in use if None.
        """
        for why in certificate_warnings(self._config() if config is None else config, self._now()):
            self._log.warning("certificate: %s", why)
