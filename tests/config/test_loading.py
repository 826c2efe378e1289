"""What the bridge can be told in a file, and what it says of a file that is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted.bridge.last_values import MAX_KNOWN_BYTES
from mtmount_twisted.config import loading
from mtmount_twisted.config.tables import Key, keys, sections
from mtmount_twisted.errors import ConfigError
from mtmount_twisted.wire.lines import MAX_LINE_LENGTH
from tests.support.folders import scratch_path

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "docs" / "bridge.toml"
PAIR = '[[pair]]\nname = "csc"\ncommand_port = 30005\n'
MANY = ("pair", "port", "telemetry", "station.user")
"""The sections of which a file may have several."""

OFF = re.compile(r"^#(?=[\w\[])", re.MULTILINE)


def problems(text: str) -> list[str]:
    """What is wrong with a configuration, or nothing."""
    try:
        loading.load(text)
    except ConfigError as error:
        return list(error.problems)
    return []


def all_examples() -> str:
    """The reference with its examples turned on, but for those that need another dialect."""
    text = OFF.sub("", REFERENCE.read_text(encoding="utf-8"))
    text = re.sub("^telemetry_.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"^\[\[telemetry\]\]$.*?(?=^\[)", "", text, flags=re.MULTILINE | re.DOTALL)


def every_key() -> list[tuple[str, str, Key]]:
    """Each section's name, and each of its keys."""
    return [
        (section, name, key)
        for section, each in sections(loading.Config).items()
        for name, key in keys(each.cls).items()
    ]


class Loading(SynchronousTestCase):
    """A file that is right."""

    def test_default(self) -> None:
        """With no file: the simulator, and a CSC pair on 127.0.0.1, ports 30005 and 30006."""
        default = loading.default_config()
        [pair] = default.pairs
        self.assertIsNone(default.controller)
        self.assertEqual((pair.listen, pair.command_port, pair.source), ("127.0.0.1", 30005, "CSC"))
        self.assertEqual((pair.reply_host, pair.reply_port), ("127.0.0.1", 30006))
        self.assertEqual(default.ports, ())

    def test_missing_sections_and_keys(self) -> None:
        """What a file leaves out has its default."""
        pair = loading.PairCommander(name="csc", command_port=30005)
        self.assertEqual(loading.load(PAIR), loading.Config(pairs=(pair,)))
        changed = loading.load(PAIR + "[command]\nlease_grace = 1.5")
        self.assertEqual(changed.command, loading.CommandRules(lease_grace=1.5))

    def test_everything(self) -> None:
        """Each section ends up in its place, in the order of the file."""
        loaded = loading.load(
            '[controller]\nhost = "::1"\ncommand_port = 60005\nreply_host = "::"\nreply_port = 0\n'
            '[[pair]]\nname = "eui"\nsource = "EUI"\ncommand_port = 60005\nreply_port = 7\n'
            + PAIR
            + '[[port]]\nname = "all"\nendpoint = "tcp:0"\ninsecure = true\n'
            '[[port]]\nname = "local"\nendpoint = "unix:/tmp/x"\nrole = "commander"\nsource = "HHD"\n'
            '[clients]\nmax_behind_seconds = 3\n[journal]\nenabled = false\npath = "/tmp/j"\n'
        )
        self.assertEqual(
            loaded.controller,
            loading.Controller(host="::1", command_port=60005, reply_host="::", reply_port=0),
        )
        self.assertEqual([pair.name for pair in loaded.pairs], ["eui", "csc"])
        self.assertEqual([(port.name, port.role) for port in loaded.ports][1], ("local", "commander"))
        self.assertEqual((loaded.ports[0].role, loaded.ports[0].source), ("observer", "CSC"))
        self.assertEqual((loaded.journal.enabled, loaded.journal.path), (False, "/tmp/j"))
        self.assertIs(type(loaded.clients.max_behind_seconds), float)

    def test_reply_port_follows(self) -> None:
        """A reply port that is left out is one above the command port, the controller's too."""
        text = '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\n'
        controller = loading.load(PAIR.replace("30005", "40005") + text).controller
        assert controller is not None
        self.assertEqual((controller.reply_port, controller.reply_host), (60006, None))

    def test_dialect(self) -> None:
        """The controller speaks tma2020, unless the file says otherwise: a guess would move a mount."""
        text = PAIR + '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\n'
        for right in (PAIR, text, text + 'dialect = "tma2020"\n'):
            self.assertEqual(loading.load(right).dialect, "tma2020")
        loaded = loading.load(text + 'dialect = "tma2022"\n')
        assert loaded.controller is not None
        self.assertEqual((loaded.dialect, loaded.pairs[0].reply_port), ("tma2022", None))
        self.assertEqual(loading.check(loaded), loaded)
        self.assertEqual(
            problems(text + 'dialect = "tma2021"\n'),
            ["""controller.dialect: expected "tma2020" or "tma2022", got 'tma2021'"""],
        )

    def test_least_backlog(self) -> None:
        """The least backlog has room for the last values and the settings that a new client asks for."""
        loaded = loading.load(PAIR + "[clients]\nmax_behind_bytes = 262_144")
        self.assertGreater(loaded.clients.max_behind_bytes, MAX_KNOWN_BYTES + MAX_LINE_LENGTH)
        [problem] = problems(PAIR + "[clients]\nmax_behind_bytes = 262_143")
        self.assertTrue(problem.startswith("clients.max_behind_bytes: expected 262144 to"), problem)

    def test_telemetry(self) -> None:
        """Telemetry comes from the controller's host and the protocol's port, or from the place named."""
        text = PAIR + '[controller]\nhost = "mount"\ncommand_port = 60005\n'
        for keys_of, expected in (
            ("", None),
            ('dialect = "tma2022"\n', ("mount", 50035)),
            ('dialect = "tma2022"\ntelemetry_port = 7\n', ("mount", 7)),
            ('dialect = "tma2022"\ntelemetry_host = "192.0.2.2"\n', ("192.0.2.2", 50035)),
        ):
            controller = loading.load(text + keys_of).controller
            assert controller is not None
            self.assertEqual(controller.telemetry, expected)

    def test_frozen(self) -> None:
        """What was loaded can't be changed."""
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            loading.default_config().command.in_flight = 3  # type: ignore[misc]

    def test_journal_path(self) -> None:
        """The journal is in the state directory of the XDG specification, and ``~`` is the home directory."""
        own = PAIR + '[journal]\npath = "~/j.sqlite"'
        for state, expected in (("/state", "/state"), ("", "/home/me/.local/state"), ("x", None)):
            with mock.patch.dict(os.environ, {"HOME": "/home/me", "XDG_STATE_HOME": state}):
                self.assertEqual(
                    loading.load(PAIR).journal.path,
                    f"{expected or '/home/me/.local/state'}/mtmount-bridge/journal.sqlite",
                )
                self.assertEqual(loading.load(own).journal.path, "/home/me/j.sqlite")

    def test_relative_path(self) -> None:
        """A relative path is made absolute at once: ``twistd`` changes the directory as it starts."""
        loaded = loading.load(PAIR + '[journal]\npath = "j"')
        self.assertEqual(loaded.journal.path, os.path.join(os.getcwd(), "j"))


class Problems(SynchronousTestCase):
    """A file that is wrong."""

    def test_all_at_once(self) -> None:
        """Every problem is told, a line each, with the path of its key."""
        text = (
            'contoller = 5\n[controller]\nhost = ""\n[[pair]]\nname = "a b"\ncommand_port = 70000\n'
            '[command]\nin_fligth = 3\non_loss = "hope"'
        )
        found = problems(text)
        self.assertEqual(
            [line.split(":")[0] for line in found],
            [
                "contoller",
                "controller.host",
                "controller.command_port",
                "pair[1].name",
                "pair[1].command_port",
                "command.in_fligth",
                "command.on_loss",
            ],
        )
        self.assertIn("pair[1].command_port: expected 0 to 65535, got 70000", found)

    def test_error_names_the_file(self) -> None:
        """The error's text has the file's name on each line."""
        with self.assertRaises(ConfigError) as caught:
            loading.load("a = 1", "bridge.toml")
        self.assertEqual(caught.exception.where, "bridge.toml")
        for line in str(caught.exception).splitlines():
            self.assertTrue(line.startswith("bridge.toml: "), line)

    def test_unknown(self) -> None:
        """An unknown section or key is told with the known one that is close, or with all there are."""
        for text, expected in (
            ("[journl]", "journl: unknown section, did you mean journal?"),
            ("[clients]\nmax_behind_byte = 1", "did you mean max_behind_bytes?"),
            ("[clients]\nq = 1", "expected one of max_behind_bytes, max_behind_seconds"),
            ('[clients]\n"a\\nb" = 1', r"clients.'a\nb': unknown key"),
        ):
            [problem] = problems(PAIR + text)
            self.assertIn(expected, problem)

    def test_types_are_strict(self) -> None:
        """No value is taken for one of another type, but a whole number for any number."""
        values = {
            str: '"5"',
            int: "5",
            float: "5.0",
            bool: "true",
            list: "[5]",
            dict: "{}",
            "d": "2020-01-01",
        }
        for section, name, key in every_key():
            for kind, value in values.items():
                text = f"{name} = {value}"
                found = problems(f"[[{section}]]\n{text}" if section in MANY else f"[{section}]\n{text}")
                about = [line for line in found if re.match(rf"{section}(\[1])?\.{name}(\[1])?: ", line)]
                right = kind is key.kind or (key.kind is float and kind is int)
                if right:
                    self.assertNotIn(_WORDS_OF_TYPE.get(key.kind, "no such"), "".join(about))
                else:
                    self.assertEqual(len(about), 1, (text, found))

    def test_bounds(self) -> None:
        """Each number is taken at its bounds, and not beyond; what is no number at all is not taken."""
        checked = 0
        for section, name, key in every_key():
            if key.least is None or key.most is None:
                continue
            checked += 1
            header = f"[[{section}]]" if section in MANY else f"[{section}]"
            for value, right in (
                (key.least, True),
                (key.most, True),
                (key.least - 1, False),
                (key.most + 1, False),
            ):
                told = [
                    line for line in problems(f"{header}\n{name} = {value}") if f"{name}: expected" in line
                ]
                self.assertEqual(told == [], right, (section, name, value, told))
            if key.kind is float:
                for word in ("nan", "inf"):
                    self.assertIn(f"got {word}", "".join(problems(f"{header}\n{name} = {word}")))
        self.assertGreater(checked, 8)

    def test_shape(self) -> None:
        """A section that is no table, or that is one where there may be many, is one line."""
        for text, expected in (
            ("pair = 5", "pair: expected [[pair]], one for each, got 5"),
            ('[pair]\nname = "x"', "pair: expected [[pair]], one for each, got a table"),
            ("pair = [5]", "pair[1]: expected a table, got 5"),
            (
                "port = []\npair = [{name='a', command_port=1}]\ncommand = true",
                "command: expected a table, got true",
            ),
            ("pair = [{name='a', command_port=1}]\n[[command]]", "command: expected a table, got an array"),
        ):
            self.assertEqual(problems(text), [expected])

    def test_too_many_tables(self) -> None:
        """A file of thousands of tables is one line, and is not read table by table."""
        [why] = problems("[[port]]\n" * 10_000)
        self.assertEqual(why, "port: expected at most 100 tables, got 10000")

    def test_nothing_to_listen_on(self) -> None:
        """A bridge that nobody could connect to is a problem."""
        for text in ("", "[journal]\nenabled = false", "pair = []"):
            [problem] = problems(text)
            self.assertIn("[[pair]]", problem)

    def test_names(self) -> None:
        """A name is usable in a log line and is nobody else's."""
        port = '[[port]]\nname = "{}"\nendpoint = "tcp:0"\ninsecure = true\n'
        for name in ("", "a b", "ü", "a\\n", "a" * 65):
            [problem] = problems(port.format(name))
            self.assertIn("port[1].name: expected letters", problem)
        for name in ("bridge", "controller", "everyone", "observers", "web"):
            [problem] = problems(port.format(name))
            self.assertIn("port[1].name: expected none of bridge, broker, controller", problem)
        self.assertEqual(problems(port.format("a-B_3")), [])
        self.assertEqual(
            problems(PAIR + port.format("csc")), ["port[1].name: 'csc' is the name of pair[1] already"]
        )

    def test_hosts(self) -> None:
        """What can't be a host, such as one with a port, is told; addresses of both kinds are taken."""
        for host in ("", "a b", "1.2.3.4:5", "a" * 70 + ".org", "[::1]", "a\\u0000"):
            [problem] = problems(PAIR + f'reply_host = "{host}"')
            self.assertIn("pair[1].reply_host: expected a host name or an address", problem)
        for host in ("mount.example.org", "::1", "192.0.2.1", "my_host-2"):
            self.assertEqual(problems(PAIR + f'reply_host = "{host}"'), [])

    def test_no_port_above(self) -> None:
        """A command port that has no next one needs a reply port."""
        for port in (0, 65535):
            text = PAIR.replace("30005", str(port))
            self.assertEqual(
                problems(text), [f"pair[1].reply_port: there is no port one above {port}; name one"]
            )
            self.assertEqual(problems(text + "reply_port = 5"), [])

    def test_no_place_for_replies(self) -> None:
        """Where replies come on the connection of the commands, a key about another one is an error."""
        start = '[controller]\nhost = "192.0.2.1"\ncommand_port = 65535\ndialect = "tma2022"\n'
        second = '[[pair]]\nname = "b"\ncommand_port = 30006\n'
        self.assertEqual(problems(start + PAIR + second), [])
        self.assertEqual(problems(start + second.replace("30006", "0")), [])
        text = start + 'reply_host = "::"\nreply_port = 7\nreplies_from = []\n' + PAIR
        self.assertEqual(
            problems(text + 'reply_host = "192.0.2.2"\nreply_port = 8\n'),
            [
                f"{key}: replies of tma2022 come on the connection of the commands: remove this key"
                for key in (
                    "controller.reply_host",
                    "controller.reply_port",
                    "controller.replies_from",
                    "pair[1].reply_host",
                    "pair[1].reply_port",
                )
            ],
        )

    def test_no_telemetry(self) -> None:
        """A place for telemetry is an error before a mount that has none; one line names each key."""
        text = PAIR + '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\n'
        why = "a mount that speaks tma2020 has no telemetry: leave this out, or set controller.dialect"
        for key, value in (("telemetry_port", "50035"), ("telemetry_host", '"192.0.2.1"')):
            self.assertEqual(problems(f"{text}{key} = {value}\n"), [f"controller.{key}: {why}"])

    def test_telemetry_ports(self) -> None:
        """A ``[[telemetry]]`` needs a mount with telemetry, and beyond this machine what a port needs."""
        mount = '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\ndialect = "tma2022"\n'
        ours = '[[telemetry]]\nname = "readers"\nendpoint = "tcp:50035"\n'
        for right in ("insecure = true\n", "allow = ['192.0.2.0/24']\n"):
            [telemetry] = loading.load(PAIR + mount + ours + right).telemetry
            self.assertEqual((telemetry.name, telemetry.max_readers), ("readers", 1000))
        [problem] = problems(PAIR + mount + ours)
        self.assertIn("telemetry[1].endpoint: tcp:50035 can be reached from other machines", problem)
        [problem] = problems(PAIR + ours + "insecure = true\n")
        self.assertEqual(
            problem,
            "telemetry[1]: a mount that speaks tma2020 has no telemetry: leave this out, or set "
            "simulator.dialect",
        )
        [problem] = problems(PAIR + mount + ours.replace("readers", "csc") + "insecure = true\n")
        self.assertEqual(problem, "telemetry[1].name: 'csc' is the name of pair[1] already")

    def test_no_translation(self) -> None:
        """Clients that the mount's dialect can't serve are an error, which names the key of that dialect."""
        text = PAIR + 'dialect = "tma2022"\n'
        controller = '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\n'
        for mount, key in (
            ("", "simulator.dialect"),
            ("[simulator]\n", "simulator.dialect"),
            (controller, "controller.dialect"),
            (controller + "[simulator]\ndialect = 'tma2022'\n", "controller.dialect"),
        ):
            self.assertEqual(
                problems(text + mount),
                [
                    "pair[1].dialect: 'tma2022' can't be translated for a mount that speaks tma2020: leave "
                    f"this key out, or set {key} to 'tma2022'"
                ],
            )

    def test_wrong_dialect(self) -> None:
        """A dialect that does not exist is the one problem: nothing is said of what depends on it."""
        text = (
            PAIR + 'dialect = "tma2022"\n[[telemetry]]\nname = "t"\nendpoint = "tcp:1:interface=127.0.0.1"\n'
        )
        for mount in ("[simulator]\n", '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\n'):
            [problem] = problems(f"{text}{mount}dialect = 'tma2021'\n")
            self.assertIn(".dialect: expected ", problem)

    def test_telemetry_from_the_own_port(self) -> None:
        """The bridge does not read its telemetry from itself, though the port of the mount is the default."""
        mount = '[controller]\nhost = "127.0.0.1"\ncommand_port = 60005\ndialect = "tma2022"\n'
        ours = '[[telemetry]]\nname = "readers"\nendpoint = "tcp:50035:interface=127.0.0.1"\n'
        [problem] = problems(PAIR + mount + ours)
        self.assertIn("50035 is used by controller.telemetry_port already", problem)
        self.assertEqual(problems(PAIR + mount + "telemetry_port = 50036\n" + ours), [])

    def test_telemetry_from_the_command_port(self) -> None:
        """Commands and telemetry of one mount have two ports; the one is not given for the other."""
        text = PAIR + '[controller]\nhost = "192.0.2.1"\ncommand_port = 60005\ndialect = "tma2022"\n'
        self.assertEqual(
            problems(text + "telemetry_port = 60005\n"),
            ["controller.telemetry_port: 192.0.2.1:60005 is used by controller.command_port already"],
        )

    def test_path(self) -> None:
        """A path that can't be one is told."""
        for path in ("", "~nobody-of-this-name/x", "a\\u0000"):
            [problem] = problems(PAIR + f'[journal]\npath = "{path}"')
            self.assertIn("journal.path: expected a path", problem)

    def test_values_are_shown_in_one_short_line(self) -> None:
        """A line stays one line, however long or odd the value."""
        for value in ("0x" + "f" * 5000, '"' + "a" * 5000 + '"', '"a\\nb\\u2028c"', "1979-05-27T07:32:00Z"):
            [problem] = problems(PAIR + f"[command]\non_loss = {value}")
            self.assertEqual(len(problem.splitlines()), 1)
            self.assertLess(len(problem), 200)

    @settings(max_examples=50, deadline=None)
    @given(
        st.recursive(
            st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none()),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from([*sections(loading.Config), "name", "endpoint", "command_port", "x"]),
                    inner,
                    max_size=4,
                ),
            ),
        )
    )
    def test_anything(self, value: Any) -> None:
        """Whatever a file holds, what comes of it is a configuration or `ConfigError`, in single lines."""
        tables = value if isinstance(value, dict) else {"pair": [value]}
        with mock.patch("tomllib.loads", return_value=tables):
            for problem in problems("(see the tables)"):
                self.assertEqual(len(problem.splitlines()), 1, problem)


_WORDS_OF_TYPE = {str: "expected a string", int: "whole number", float: "a number", bool: "true or false"}


class Endpoints(SynchronousTestCase):
    """Where a port listens."""

    def problem(self, endpoint: str) -> str:
        """What is wrong with an endpoint."""
        return "".join(problems(f"[[port]]\nname = 'p'\nendpoint = '{endpoint}'\ninsecure = true\n"))

    def test_right(self) -> None:
        """What Twisted can listen on is taken as it is."""
        for endpoint in ("tcp:30100", "tcp:0:interface=127.0.0.1", "unix:/tmp/x:mode=660", "tcp6:30100"):
            self.assertEqual(self.problem(endpoint), "")

    def test_wrong(self) -> None:
        """What Twisted can't listen on is told, with the reason and an example."""
        for endpoint, reason in (
            ("tpc:1", "Unknown endpoint type: 'tpc'"),
            ("", "Unknown endpoint type"),
            ("tcp", "missing 1 required positional argument: 'port'"),
            ("tcp:x", "'x'"),
            ("tcp:70000", "a port from 0 to 65535"),
            ("tcp:1:interfac=x", "'interfac'"),
            ("unix", "'address'"),
            ("tcp:\\", "a backslash at the end escapes nothing"),
            ("ssl:443:sslmethod=TLSv1_METHOD", "no sslmethod: TLS 1.2 or newer is used"),
        ):
            problem = self.problem(endpoint)
            self.assertTrue(
                problem.startswith("port[1].endpoint: expected a Twisted server endpoint"), problem
            )
            self.assertIn(reason, problem)
            self.assertEqual(len(problem.splitlines()), 1)

    def test_open_to_others(self) -> None:
        """A port that other machines can reach needs a list, an authority, or the word insecure."""
        port = "[[port]]\nname = 'p'\nendpoint = '{}'\n"
        for endpoint in ("tcp:1", "tcp:1:interface=192.0.2.1", "tcp6:1", "tcp:1:interface=\\:\\:"):
            text = port.format(endpoint)
            [problem] = problems(text)
            self.assertTrue(problem.startswith("port[1].endpoint: "), problem)
            for word in ("port[1].allow", "port[1].client_ca", "interface=127.0.0.1", "insecure = true"):
                self.assertIn(word, problem)
            for more in ("allow = ['192.0.2.0/24']", "insecure = true", "certificate='a'\nclient_ca='b'"):
                self.assertEqual(problems(text + more), [])
        for endpoint in ("tcp:1:interface=127.0.0.1", "tcp6:1:interface=\\:\\:1", "unix:/tmp/x"):
            self.assertEqual(problems(port.format(endpoint)), [])

    def test_keys_without_certificate(self) -> None:
        """A key or an authority without a certificate of this side's would be to no effect."""
        port = "[[port]]\nname = 'p'\nendpoint = 'tcp:1:interface=127.0.0.1'\n"
        for key in ("private_key", "client_ca"):
            [problem] = problems(port + f"{key} = 'x'")
            self.assertTrue(
                problem.startswith(f"port[1].{key}: has no effect without port[1].certificate"), problem
            )

    def test_networks(self) -> None:
        """Who may connect is listed as addresses and networks; what is none of those is told."""
        self.assertEqual(problems(PAIR + "allow = ['10.0.0.0/8', 'fd00::/8', '192.0.2.7']"), [])
        for wrong in ("host", "10.0.0.1/8"):
            [problem] = problems(PAIR + f"allow = ['192.0.2.7', '{wrong}']")
            self.assertIn("pair[1].allow[2]: ", problem)
            self.assertIn(repr(wrong), problem)
            self.assertIn("10.1.0.0/16", problem)

    def test_nothing_is_opened(self) -> None:
        """A socket's file is not made by asking."""
        path = str(scratch_path(self))
        self.assertEqual(self.problem(f"unix:{path}"), "")
        self.assertFalse(os.path.exists(path))


class Clashes(SynchronousTestCase):
    """What is used twice."""

    def test_pairs(self) -> None:
        """Two pairs can't listen on one address and port, in whatever spelling; nor reply to one."""
        second = '[[pair]]\nname = "b"\nlisten = "{}"\ncommand_port = 30005\nreply_port = 9\n'
        for listen in ("127.0.0.1", "localhost", "0.0.0.0"):
            [problem] = problems(PAIR + second.format(listen))
            self.assertTrue(problem.startswith("pair[2].command_port: "), problem)
            self.assertIn("used by pair[1].command_port", problem)
        for listen in ("127.0.0.2", "::1"):
            self.assertEqual(problems(PAIR + second.format(listen)), [])
        [problem] = problems(
            PAIR + second.format("127.0.0.2").replace("reply_port = 9", "reply_port = 30006")
        )
        self.assertIn("pair[2].reply_port: 127.0.0.1:30006 is used by pair[1].reply_port", problem)

    def test_controller(self) -> None:
        """Where the controller's replies come in is nobody else's, though the file leaves out the address."""
        for host in ("192.0.2.1", "127.0.0.1", "mount.example.org"):
            text = f'[controller]\nhost = "{host}"\ncommand_port = 7\nreply_port = 30005\n' + PAIR
            [problem] = problems(text)
            self.assertIn("pair[1].command_port: 127.0.0.1:30005 is used by controller.reply_port", problem)

    def test_itself(self) -> None:
        """The bridge does not connect to where it listens: it would talk to itself."""
        for text in (
            '[controller]\nhost = "127.0.0.1"\ncommand_port = 30005\nreply_port = 7\n' + PAIR,
            '[controller]\nhost = "192.0.2.1"\ncommand_port = 30005\n' + PAIR,
            PAIR + '[[port]]\nname = "p"\nendpoint = "tcp:30006"\ninsecure = true\n',
            PAIR + '[[port]]\nname = "p"\nendpoint = "tcp:30006:interface=\\\\:\\\\:"\ninsecure = true\n',
        ):
            [problem] = problems(text)
            self.assertIn("the bridge would connect to itself", problem)
        elsewhere = PAIR + 'reply_host = "192.0.2.7"\n' + "reply_port = 30005\n"
        for listen in ("127.0.0.1", "0.0.0.0"):
            self.assertEqual(problems(elsewhere + f'listen = "{listen}"'), [])

    def test_replies_from_afar(self) -> None:
        """A controller elsewhere sends its replies to all addresses, and one on this machine to its own."""
        text = '[controller]\nhost = "{}"\ncommand_port = 7\nreply_port = 30005\n' + PAIR
        text += 'listen = "192.0.2.1"\n'
        self.assertEqual(len(problems(text.format("192.0.2.2"))), 1)
        for host in ("127.0.0.1", "mount.example.org", "2001:db8::1"):
            self.assertEqual(problems(text.format(host)), [])
        for host in ("::1", "2001:db8::1"):
            self.assertEqual(len(problems(text.format(host).replace("192.0.2.1", "::1"))), 1)
        for one, other in (("0.0.0.0", "::1"), ("::", "127.0.0.1")):
            second = '[[pair]]\nname = "b"\ncommand_port = 30005\nreply_port = 9\n'
            self.assertEqual(
                problems(PAIR + f'listen = "{one}"\n' + second + f'listen = "{other}"\n'), [], "two families"
            )

    def test_ports(self) -> None:
        """Two ports can't have one endpoint; port 0 is the system's choice, each time another."""
        port = '[[port]]\nname = "{}"\nendpoint = "{}"\ninsecure = true\n'
        for first, second in (("tcp:5", "tcp:5:interface=127.0.0.1"), ("unix:/tmp/x", "unix:/tmp/a/../x")):
            [problem] = problems(port.format("a", first) + port.format("b", second))
            self.assertIn("port[2].endpoint: ", problem)
        self.assertEqual(problems(port.format("a", "tcp:0") + port.format("b", "tcp:0")), [])

    def test_told_beside_other_problems(self) -> None:
        """A clash is told although other keys of the same sections are wrong."""
        found = problems(PAIR + "source = 1\n" + PAIR.replace("csc", "b") + "reply_port = 9\nx = 1")
        self.assertEqual(len(found), 3)


class Motion(SynchronousTestCase):
    """The place of the telescope, and the rules for its motion."""

    def test_default(self) -> None:
        """Without a word of it, the site is that of the Rubin Observatory, and its UT1 is not known."""
        config = loading.default_config()
        self.assertAlmostEqual(config.site.latitude, -30.2446, 3)
        self.assertIsNone(config.site.ut1_utc_date)
        self.assertEqual((config.motion.rms_limit, config.motion.elevation_low), (0.01, 15.1))

    def test_day(self) -> None:
        """The day of UT1-UTC is a day."""
        loaded = loading.load(f"{PAIR}[site]\nut1_utc = -0.1\nut1_utc_date = '2026-11-27'").site
        self.assertEqual((loaded.ut1_utc, loaded.ut1_utc_date), (-0.1, "2026-11-27"))
        for day in ("today", "2026-11-31", "2026"):
            (problem,) = problems(f"{PAIR}[site]\nut1_utc_date = '{day}'")
            self.assertIn("site.ut1_utc_date: expected a day such as 2026-11-27", problem)

    def test_order(self) -> None:
        """A lower limit is below the upper one, and the alarm does not come before the caution."""
        for lines, wrong in (
            ("azimuth_low = 270", "motion.azimuth_low: 270 does not fit: expected less than"),
            ("elevation_high = 15", "motion.elevation_low: 15.1 does not fit: expected less than"),
            ("cable_wrap_low = 90", "motion.cable_wrap_low: 90 does not fit"),
            ("limit_caution = 299", "motion.limit_alarm: 300 does not fit: expected at most"),
        ):
            (problem,) = problems(f"{PAIR}[motion]\n{lines}")
            self.assertTrue(problem.startswith(wrong), problem)
        self.assertEqual(problems(f"{PAIR}[motion]\nlimit_caution = 300"), [])


class Web(SynchronousTestCase):
    """What is served over HTTP, and where."""

    def web(self, *lines: str) -> list[str]:
        """What is wrong with a section ``[web]``."""
        return problems("\n".join((PAIR, "[web]", *lines)))

    def test_default(self) -> None:
        """With no word of it, neither whether nor where it is served is said."""
        web = loading.default_config().web
        self.assertEqual((web.enabled, web.endpoint, web.tokens), (None, None, None))
        self.assertEqual((web.max_body, web.deadline, web.max_connections), (4096, 10.0, 256))

    def test_only_streams(self) -> None:
        """The event streams of one user never take all connections of its address."""
        for connections, streams in ((2, 1), (8, 4), (32, 16), (256, 16)):
            loaded = loading.load(f"{PAIR}[web]\nmax_connections_per_address = {connections}").web
            self.assertEqual(loaded.max_streams_per_user, streams)
        (problem,) = self.web("max_connections_per_address = 8", "max_streams_per_user = 8")
        self.assertTrue(problem.startswith("web.max_streams_per_user: 8 event streams of one user"), problem)
        self.assertIn("expected fewer than web.max_connections_per_address", problem)
        (problem,) = self.web("max_streams_per_user = 32")
        self.assertIn("all 32 connections", problem)
        self.assertEqual(self.web("max_connections_per_address = 8", "max_streams_per_user = 7"), [])

    def test_lists(self) -> None:
        """A list is kept as a tuple; what is no list, or holds something that can't be, is told."""
        loaded = loading.load(
            PAIR + "[web]\nallowed_hosts = ['mount', '::1']\nallowed_origins = ['https://mount.example.org', "
            "'http://[::1]:8080']"
        )
        self.assertEqual(loaded.web.allowed_hosts, ("mount", "::1"))
        self.assertEqual(loading.check(loaded), loaded)
        for line, expected in (
            ("allowed_hosts = 'mount'", "expected a list of strings, got 'mount'"),
            ("allowed_hosts = ['mount', 5]", "web.allowed_hosts[2]: expected a string, got 5"),
            ("allowed_hosts = ['mount:8080']", "expected a host name or an address, without a port"),
            ("allowed_origins = ['mount.example.org']", "expected origins such as"),
            ("allowed_origins = ['https://mount/path']", "expected origins such as"),
            ("allowed_origins = ['*']", "expected origins such as"),
        ):
            [problem] = self.web(line)
            self.assertIn(expected, problem)

    def test_beyond_this_machine(self) -> None:
        """Nobody beyond this machine is served without tokens, unless that is asked for."""
        for endpoint in (
            "tcp:8080",
            "tcp:8080:interface=192.0.2.1",
            "tcp:0:interface=\\:\\:",
        ):
            line = f"endpoint = '{endpoint}'"
            [problem] = self.web(line)
            self.assertIn(f"web.endpoint: {endpoint} can be reached from other machines", problem)
            for mended in ("insecure = true", "tokens = 'x'", "enabled = false"):
                self.assertEqual(self.web(line, mended), [])
        for endpoint in (
            "tcp:0:interface=127.0.0.1",
            "tcp:0:interface=127.9.9.9",
            "unix:/tmp/x",
            "tcp:0:interface=\\:\\:1",
        ):
            self.assertEqual(self.web(f"endpoint = '{endpoint}'"), [])

    def test_taken(self) -> None:
        """Where it is asked to listen is nobody else's; where it would by default may be."""
        port = '[[port]]\nname = "all"\nendpoint = "tcp:8080"\ninsecure = true\n'
        line = "endpoint = 'tcp:8080:interface=127.0.0.1'"
        [problem] = self.web(line, port)
        self.assertIn("8080 is used by web.endpoint", problem)
        self.assertEqual(self.web(port), [])
        self.assertEqual(self.web(line, "enabled = false", port), [])


class Syntax(SynchronousTestCase):
    """What is no TOML."""

    def test_position(self) -> None:
        """One line says where."""
        for text, start in (
            ("a = 1\nb = = 2\n", "line 2, column 5: not TOML: "),
            ("a = 1\na = 2\n", "line 2, column "),
            ("a = 1\nb = '''x\n", "line 3, column 1: not TOML: "),
        ):
            [problem] = problems(text)
            self.assertTrue(problem.startswith(start), problem)

    def test_what_the_parser_chokes_on(self) -> None:
        """A number or a nesting that is too much for the parser is one line too."""
        for text in ("a = " + "9" * 5000, "a = " + "[" * 100_000):
            [problem] = problems(text)
            self.assertIn("not TOML", problem)


class Files(SynchronousTestCase):
    """A file, by its path."""

    def problem(self, data: bytes) -> str:
        """What is wrong with a file."""
        path = scratch_path(self)
        path.write_bytes(data)
        with self.assertRaises(ConfigError) as caught:
            loading.load_file(path)
        self.assertEqual(caught.exception.where, str(path))
        return "\n".join(caught.exception.problems)

    def test_read(self) -> None:
        """A file is read, also with the mark that some editors begin it with and their line ends."""
        path = scratch_path(self)
        for data in (PAIR.encode(), b"\xef\xbb\xbf" + PAIR.replace("\n", "\r\n").encode()):
            path.write_bytes(data)
            for where in (path, str(path)):
                self.assertEqual(loading.load_file(where), loading.load(PAIR))

    def test_unreadable(self) -> None:
        """A file that is not there, or is a directory, is one line."""
        for path, reason in ((str(scratch_path(self)), "No such file"), ("/", "directory")):
            with self.assertRaises(ConfigError) as caught:
                loading.load_file(path)
            [problem] = caught.exception.problems
            self.assertIn(reason, problem)

    def test_not_utf8(self) -> None:
        """A byte that is not UTF-8 is told with its place."""
        self.assertEqual(
            self.problem("# gut\n# ü".encode() + b"\xff"), "line 2, column 4: not UTF-8 (byte 0xff)"
        )

    def test_wrong(self) -> None:
        """A file's problems are those of its text."""
        self.assertIn("line 1, column 1", self.problem(b"="))


class Checking(SynchronousTestCase):
    """Values that a program changed."""

    def test_right(self) -> None:
        """What was loaded or made is right, and comes back equal."""
        for each in (loading.default_config(), loading.load(all_examples())):
            self.assertEqual(loading.check(each), each)

    def test_wrong(self) -> None:
        """A change by a program is held to the same rules."""
        default = loading.default_config()
        changed = attrs.evolve(default, pairs=default.pairs * 2)
        with self.assertRaises(ConfigError) as caught:
            loading.check(changed, "the command line")
        self.assertEqual(caught.exception.where, "the command line")
        self.assertEqual(len(caught.exception.problems), 3)  # name, command port and reply port


class Importing(SynchronousTestCase):
    """What a daemon with no file pays for."""

    def test_light(self) -> None:
        """The default needs no TOML parser, and nothing here imports the reactor."""
        script = (
            "import sys; sys.modules.pop('tomllib', None)\n"  # coverage has used it
            "from mtmount_twisted.config import loading; loading.default_config();"
            "print([name for name in ('tomllib', 'twisted.internet.reactor') if name in sys.modules]);"
            'loading.load(\'[[port]]\\nname="a"\\nendpoint="tcp:0:interface=127.0.0.1"\');'
            "print('twisted.internet.reactor' in sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.stdout, done.stderr), ("[]\nFalse\n", ""))
