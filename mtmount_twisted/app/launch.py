"""The console scripts ``mtmount-bridge`` and ``mtmount-simulator``.

Each script runs ``twistd --nodaemon --pidfile= NAME`` with its own name, and also accepts the long options of
``twistd``, such as ``--uid`` and ``--logfile``. A script loads only its own plugin, so that it starts faster
and writes no ``dropin.cache``. Next to read: the plugin in ``twisted/plugins``, and `app.bridge`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from twisted.application.app import run
from twisted.scripts.twistd import ServerOptions, runApp  # type: ignore[attr-defined]

from mtmount_twisted.cli.standard_streams import open_closed_streams

GENERAL_OPTIONS = (
    "The program also accepts the long options of twistd: --uid, --gid, --umask, --logfile, --syslog, "
    "--rundir, --pidfile and others. It stays in the foreground, and writes a pid file only if --pidfile "
    "names one."
)


def bridge() -> None:
    """Run ``mtmount-bridge``."""
    _run("mtmount_bridge")


def simulator() -> None:
    """Run ``mtmount-simulator``."""
    _run("mtmount_simulator")


def _run(plugin: str) -> None:
    open_closed_streams()
    maker: Any = getattr(import_module("twisted.plugins.mtmount_twisted_plugin"), plugin)
    own: Any = import_module(maker.module).Options
    sys.argv[1:] = ["--nodaemon", "--pidfile=", *in_order(sys.argv[1:], maker.tapname, own)]

    class ServiceOptions(own):  # type: ignore[misc]
        """The service's options, with a help text that names the options of ``twistd``."""

        longdesc = f"{own.longdesc} {GENERAL_OPTIONS}"

    class Options(ServerOptions):
        """The options of ``twistd`` with this one service."""

        def getSynopsis(self) -> str:
            """Return the start of the synopsis; the service's name and options follow."""
            return "Usage:"

        @property
        def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
            self.loadedPlugins = {maker.tapname: maker}
            yield maker.tapname, None, ServiceOptions, maker.description

    run(runApp, Options)


def in_order(words: Sequence[str], name: str, options: Any) -> list[str]:
    """Return the command line with the options of ``twistd`` before the service's name, and all other words
    after it.

    :param words: the original command line, without the program's name.
    :param options: the class of the service's options.
    """
    own, general = _takes_value(options()), _takes_value(ServerOptions())
    before: list[str] = []
    after: list[str] = []
    left = iter(words)
    for word in left:
        option, equals, _ = word.removeprefix("--").partition("=")
        is_general = word.startswith("--") and option not in own and option in general
        to = before if is_general else after
        to.append(word)
        takes = (general if is_general else own).get(option, False) if word.startswith("--") else False
        if takes and not equals:
            to.extend(word for word in [next(left, None)] if word is not None)
    return [*before, name, *after]


def _takes_value(options: Any) -> dict[str, bool]:
    """Return the long options; the value of an option is True if it takes an argument."""
    return {option.rstrip("="): option.endswith("=") for option in options.longOpt}
