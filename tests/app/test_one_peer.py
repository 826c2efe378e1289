"""``mtmount-bridge --check-one-peer``: what it finds out about a mount."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.app.bridge import Options
from mtmount_twisted.app.one_peer import one_peer_of

HOST = "127.0.0.1"


class Mount:
    """A mount that gets connections, and does with each as a test says.

    :param treat: called with all connections so far, the newest last.
    """

    def __init__(self, treat: Callable[[list[socket.socket]], None]) -> None:
        self._listening = socket.create_server((HOST, 0))
        self.port = int(self._listening.getsockname()[1])
        self._connections: list[socket.socket] = []
        self._treat = treat
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._treat(self._connections)

    def close(self) -> None:
        """Close everything."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for each in self._connections:
            each.close()


class OnePeerTests(SynchronousTestCase):
    """Mounts of each kind."""

    def mount(self, treat: Callable[[list[socket.socket]], None]) -> int:
        """The port of a mount."""
        mount = Mount(treat)
        self.addCleanup(mount.close)
        return mount.port

    def test_refuses(self) -> None:
        """A mount that closes the second connection, and talks to the first, refuses a second peer."""

        def treat(connections: list[socket.socket]) -> None:
            connections[0].sendall(b"an event\r\n")
            for later in connections[1:]:
                later.close()

        port = self.mount(treat)
        self.assertEqual(one_peer_of(HOST, port, 0.2), (True, f"{HOST}:{port} refuses a second peer"))

    def test_takes_many(self) -> None:
        """A mount that keeps both takes many peers."""
        port = self.mount(lambda connections: None)
        self.assertEqual(one_peer_of(HOST, port, 0.2), (False, f"{HOST}:{port} takes a second peer"))

    def test_replaces(self) -> None:
        """A mount that closes the first connection for a second one does not protect the first bridge."""

        def treat(connections: list[socket.socket]) -> None:
            for earlier in connections[:-1]:
                earlier.close()

        port = self.mount(treat)
        refuses, why = one_peer_of(HOST, port, 0.2)
        self.assertEqual((refuses, "closes the connection of its first peer" in why), (False, True))

    def test_not_idle(self) -> None:
        """A mount that closes the first connection has a peer."""
        port = self.mount(lambda connections: connections[-1].close())
        self.assertRaisesRegex(ConnectionError, "try an idle mount", one_peer_of, HOST, port, 0.2)

    def test_option(self) -> None:
        """Without a mount there, the program ends with one line."""
        with socket.socket() as free:
            free.bind((HOST, 0))
            place = f"{HOST}:{free.getsockname()[1]}"
            error = self.assertRaises(SystemExit, Options().parseOptions, ["--check-one-peer", place])
        self.assertRegex(str(error), f"^mtmount-bridge: --check-one-peer: {place}: .*refused")
