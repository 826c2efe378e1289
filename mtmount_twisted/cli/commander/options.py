"""The command line of ``mtmount-commander``. Only ``argparse`` prints here.

Next to read: `program`, which uses the result of `parse_options`.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from mtmount_twisted.cli.command_line import OneLineParser
from mtmount_twisted.dialects.dialect import Topology, dialect_named
from mtmount_twisted.dialects.sources import Source
from mtmount_twisted.dialects.tma2020.enums import COMMAND_PORT, REPLY_PORT
from mtmount_twisted.files import read_file
from mtmount_twisted.hosts import host_and_port, parse_host_and_port
from mtmount_twisted.version import __version__
from mtmount_twisted.wire.fields import read_float, read_int


@dataclass(frozen=True, slots=True)
class WebAddress:
    """Address of a daemon's page.

    :ivar secure: True for ``https``.
    :ivar host: name or address, without brackets.
    :ivar prefix: path below which a proxy serves the page, without a final slash; empty for none.
    """

    secure: bool
    host: str
    port: int
    prefix: str = ""

    def __str__(self) -> str:
        scheme, usual = ("https", 443) if self.secure else ("http", 80)
        place = host_and_port(self.host, self.port)
        return f"{scheme}://{place.removesuffix(f':{usual}')}{self.prefix}"


DEFAULT_WEB = WebAddress(False, "127.0.0.1", 8080)
"""Default address of the page of a bridge on this machine."""


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line as attributes.

    :raises SystemExit: with status 2 after one line about bad usage; with 0 after ``--help`` or
        ``--version``.
    """
    parser = OneLineParser(
        prog="mtmount-commander",
        description="Command the telescope mount from a prompt, or with lines from a pipe.",
        epilog="From a pipe, the exit status is 0 if every command was done, 1 if one was not, and 2 for bad"
        " usage, an invalid line, or no connection. See docs/reference/commander.rst.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--dialect",
        choices=("tma2020", "tma2022"),
        default="tma2020",
        help="protocol of the mount; tma2022 uses one connection (%(default)s)",
    )
    add("--host", default="127.0.0.1", help="host that takes the commands: name or address (%(default)s)")
    add("--command-port", type=_port, default=COMMAND_PORT, metavar="PORT", help="its port (%(default)s)")
    add(
        "--reply-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address to listen on for replies (%(default)s)",
    )
    add("--reply-port", type=_any_port, default=REPLY_PORT, metavar="PORT", help="0: any free (%(default)s)")
    add(
        "--connect",
        type=_far_end,
        metavar="HOST:PORT",
        help="connect to a [[port]] of the bridge over one connection, instead of to a pair",
    )
    add(
        "--tls-ca",
        metavar="FILE",
        help="with --connect: encrypt; certificate authority of the port, an https page, or a tls: broker",
    )
    add(
        "--tls-certificate",
        metavar="FILE",
        help="with --tls-ca: your certificate (PEM)",
    )
    add("--tls-key", metavar="FILE", help="its private key (PEM), if it is in another file")
    add(
        "--web",
        type=_web,
        metavar="URL",
        help=f"the bridge's page, which shows the holder of command and requests (for a mount on this machine"
        f" {DEFAULT_WEB}, if it answers); none: no page",
    )
    add(
        "--station",
        type=_server,
        action="append",
        metavar="URL",
        help="send by the message broker at nats://HOST:PORT or tls://HOST:PORT, instead of to a bridge; "
        "more than once for several servers",
    )
    add("--mount", type=_word, metavar="NAME", help="with --station: name of the mount in [station]")
    add("--user", type=_word, metavar="NAME", help="with --station: your name in [[station.user]]")
    add(
        "--credentials",
        metavar="FILE",
        help="with --station: the seed of your NKey, or a .creds file",
    )
    add("--token-file", type=_token, metavar="FILE", help="a file with the token for --web and nothing else")
    add(
        "--source",
        type=_source,
        help="commander: CSC, EUI or HHD (CSC); for ask_for_command the bridge's page overrides it, "
        "and --station requires it or a value",
    )
    add(
        "--connect-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="longest wait of a script for the connection, in seconds; a prompt reports it and"
        " keeps waiting (%(default)s)",
    )
    add("--stop-on-error", action="store_true", help="end a script at the first line that is not done")
    add("--version", action="version", version=f"mtmount-commander {__version__}")
    options = parser.parse_args(arguments)
    _check_station(parser, options)
    _check_connect(parser, options)
    options.dialect = dialect_named(options.dialect)
    options.at_port = options.connect is not None
    if options.dialect.topology is Topology.DUPLEX and not options.at_port:
        for name in ("reply_host", "reply_port"):
            if getattr(options, name) != parser.get_default(name):
                parser.error(
                    f"--{name.replace('_', '-')}: {options.dialect.name} replies on the one connection"
                )
        options.connect = options.host, options.command_port
    options.source_given = options.source is not None
    options.source = options.source or Source.CSC
    return options


_OF_STATION = ("mount", "user", "credentials")
_NOT_OF_STATION = (
    *("host", "command_port", "reply_host", "reply_port", "connect"),
    *("tls_certificate", "tls_key", "web", "token_file"),
)


def _check_station(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Reject the broker's options without the broker, and a connection's options with the broker."""
    if options.station is None:
        for name in _OF_STATION:
            if getattr(options, name) is not None:
                parser.error(f"--{name}: it requires --station")
        return
    for name in _NOT_OF_STATION:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')}: --station uses no connection to a bridge")
    for name in ("mount", "user"):
        if getattr(options, name) is None:
            parser.error(f"--station: it requires --{name}")


def _check_connect(parser: OneLineParser, options: argparse.Namespace) -> None:
    """Reject options for a kind of connection that was not chosen."""
    if options.connect is not None:
        for name in ("host", "command_port", "reply_host", "reply_port"):
            if getattr(options, name) != parser.get_default(name):
                parser.error(f"--{name.replace('_', '-')}: only for a pair; --connect uses one connection")
    is_https = options.web not in (None, "none") and options.web.secure
    is_tls = any(url.startswith("tls:") for url in options.station or ())
    if options.tls_ca is not None and options.connect is None and not is_https and not is_tls:
        parser.error(
            "--tls-ca: it requires --connect, --web with an https:// address, or --station with tls:"
        )
    if options.token_file is not None and options.web == "none":
        parser.error("--token-file: it requires a page, and --web none uses none")
    for name, needed in (
        ("tls_certificate", "connect"),
        ("tls_certificate", "tls_ca"),
        ("tls_key", "tls_certificate"),
    ):
        if getattr(options, name) is not None and getattr(options, needed) is None:
            parser.error(f"--{name.replace('_', '-')}: it requires --{needed.replace('_', '-')}")


def _far_end(text: str) -> tuple[str, int]:
    try:
        return parse_host_and_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _web(text: str) -> WebAddress | str:
    if text == "none":
        return text
    with contextlib.suppress(ValueError, KeyError):
        url = urlsplit(text)
        usual = {"http": 80, "https": 443}[url.scheme]
        is_plain = text.isascii() and text.isprintable() and not re.search(r"[\s@?#]", text)
        if url.hostname and is_plain and url.port != 0:
            return WebAddress(url.scheme == "https", url.hostname, url.port or usual, url.path.rstrip("/"))
    expected = "http://HOST:PORT or https://HOST:PORT, with the path below which a proxy serves it, or none"
    raise argparse.ArgumentTypeError(f"expected {expected}, got {_without_user(text)[:100]!r}")


def _server(text: str) -> str:
    with contextlib.suppress(ValueError):
        url = urlsplit(text)
        is_plain = text.isascii() and text.isprintable() and not re.search(r"[\s@?#]", text)
        if url.scheme in ("nats", "tls") and url.hostname and url.port and is_plain and not url.path:
            return text
    expected = "nats://HOST:PORT or tls://HOST:PORT, without a user: --credentials has the proof of identity"
    raise argparse.ArgumentTypeError(f"expected {expected}, got {_without_user(text)[:100]!r}")


def _word(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f"expected 1 to 32 letters, digits, - and _, got {text[:50]!r}")
    return text


def _without_user(text: str) -> str:
    """Return a URL without its user and password, for an error text."""
    return re.sub(r"//[^/]*@", "//***@", text)


def _token(path: str) -> str:
    try:
        text = read_file(path).data.removeprefix(codecs.BOM_UTF8).decode().strip()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not (text.isascii() and text.isprintable() and text and " " not in text):
        raise argparse.ArgumentTypeError(f"{path}: expected a token, one word of ASCII, and nothing else")
    return text


def _port(text: str) -> int:
    return _ranged_port(text, 1)


def _any_port(text: str) -> int:
    return _ranged_port(text, 0)


def _ranged_port(text: str, least: int) -> int:
    with contextlib.suppress(ValueError):
        if least <= (port := read_int(text)) <= 65535:
            return port
    raise argparse.ArgumentTypeError(f"expected a port from {least} to 65535, got {text[:50]!r}")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if (seconds := read_float(text)) > 0:
            return seconds
    raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text[:50]!r}")


def _source(text: str) -> Source:
    commanders = (Source.CSC, Source.EUI, Source.HHD)
    for source in commanders:
        if text.upper() == source.name:
            return source
    names = ", ".join(source.name for source in commanders)
    raise argparse.ArgumentTypeError(f"expected one of {names}, got {text!r}")
