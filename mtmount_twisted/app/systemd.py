"""`ServiceManager`: notify systemd that the daemon serves, reloads, ends or is alive (``sd_notify(3)``).

A notification is one datagram, so the module needs no package. It touches only systemd's socket. Next to
read: `daemon`, which calls it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mtmount_twisted.net.rate_limited_log import RateLimitedLog

RETRY = 0.1
"""The time after which a datagram is sent again if systemd's socket was full, in seconds."""

FAILED_RETRY = 5.0
"""The time after which the newest state is sent again if the system refused to send it, in seconds."""

BEATS = 4
"""The number of beats in one watchdog interval; ``sd_watchdog_enabled(3)`` recommends at least two."""

BEAT = b"WATCHDOG=1"
"""The datagram that feeds the watchdog."""


class ServiceManager:
    """Notify the process manager at ``NOTIFY_SOCKET``; without that variable, send nothing.

    No call blocks. Systemd kills a daemon without a beat, so an error while sending must end neither the
    daemon nor the later beats: this class logs the error, drops the beat, and sends the newest state again.

    :param environment: ``NOTIFY_SOCKET`` is a path or, with a leading ``@``, an abstract name. The watchdog
        expects a beat within ``WATCHDOG_USEC`` microseconds, from the process ``WATCHDOG_PID`` if it is set.
    :param clock: an ``IReactorTime``. Its delayed calls send the beats, so a blocked reactor sends none.
    :param log: the logger for errors.
    :param pid: the process id to compare with ``WATCHDOG_PID``; the id of this process if None.
    :param monotonic: return the time of the monotonic clock, in seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        clock: IReactorTime,
        log: logging.Logger,
        *,
        pid: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._log = log
        self._limited_log = RateLimitedLog(clock, log)
        self._monotonic = monotonic
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._interval = _interval(environment, os.getpid() if pid is None else pid) if self._address else 0.0
        self._is_ready = False
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()  # short: a beat is not added while another datagram waits
        self._is_failing = False
        self._retry: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
        if self._address and self._address[0] not in "/@":
            self._log.warning("can't notify systemd: NOTIFY_SOCKET=%s is not a path", self._address)
            self._address = ""

    def ready(self) -> None:
        """Notify systemd that the daemon serves, and start the watchdog's beat."""
        self._is_ready = True
        self._tell(b"READY=1")
        if self._address and self._interval and self._beat is None:
            self._feed()

    def reloading(self) -> None:
        """Notify systemd that a reload begins; without effect before `ready`."""
        if self._is_ready:
            # sd_notify(3): by the time systemd distinguishes the reload that it requested from an earlier
            # one.
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(self._monotonic() * 1e6)}".encode())

    def reloaded(self) -> None:
        """Notify systemd that a reload has ended; without effect before `ready`."""
        if self._is_ready:
            self._tell(b"READY=1")

    def stopping(self) -> None:
        """Notify systemd that the daemon is about to end. The beat continues until `close`."""
        self._is_ready = False
        self._tell(b"STOPPING=1")

    def close(self) -> None:
        """Stop the beat and close the socket."""
        self._address = ""
        self._waiting.clear()
        for call in (self._beat, self._retry):
            if call is not None and call.active():
                call.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _feed(self) -> None:
        self._beat = self._clock.callLater(self._interval, self._feed)
        if not self._waiting:
            self._tell(BEAT)

    def _tell(self, message: bytes) -> None:
        if self._address:
            self._waiting.append(message)
            if self._retry is None:
                self._send()

    def _send(self) -> None:
        self._retry = None
        try:
            if self._socket is None:
                kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._socket = socket.socket(socket.AF_UNIX, kind)
            address = self._address
            while self._waiting:
                self._socket.sendto(self._waiting[0], "\0" + address[1:] if address[0] == "@" else address)
                self._waiting.popleft()
        except BlockingIOError:
            self._retry = self._clock.callLater(RETRY, self._send)
        except OSError as error:
            self._failed(error)
        else:
            if self._is_failing:
                self._is_failing = False
                self._limited_log.info("notifications reach systemd again at %s", self._address)

    def _failed(self, error: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._limited_log.warning(
                "can't notify systemd at %s: %s", self._address, error.strerror or error
            )
        states = [each for each in self._waiting if each != BEAT]
        self._waiting.clear()
        if states:
            # systemd.service(5): a daemon that does not report READY after a start or a reload is killed.
            self._waiting.append(states[-1])
            # Retry before the next beat is due, because no beat is sent while a state waits.
            self._retry = self._clock.callLater(min(FAILED_RETRY, self._interval or FAILED_RETRY), self._send)


def _interval(environment: Mapping[str, str], pid: int) -> float:
    """Return the interval between two beats, in seconds; 0 if this process has no watchdog."""
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        fed_by = int(environment.get("WATCHDOG_PID") or pid)
    except ValueError:
        return 0.0
    return microseconds / 1e6 / BEATS if microseconds > 0 and fed_by == pid else 0.0
