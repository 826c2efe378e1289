"""What the daemons are told: options, the bridge's file, and what is made of them."""

from __future__ import annotations

import os
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from mtmount_twisted import commands as c
from mtmount_twisted.app import bridge, daemon
from mtmount_twisted.app import simulator as simulator_tap
from mtmount_twisted.config.loading import Config, default_config
from mtmount_twisted.config.settings import PairCommander, SimulatorSettings
from mtmount_twisted.enums import Commander, Source
from mtmount_twisted.replies import AckReply, DoneReply, NoAckReply
from tests.support.folders import scratch_folder, scratch_path
from tests.support.programs import HOST, LOG, ROOT, ProgramCase


class FileTests(ProgramCase):
    """``twistd mtmount-bridge --config``."""

    async def test_three_commanders(self) -> None:
        """Two pairs and a port from a file: one has command at a time, and who observes gets it all."""
        csc, hhd = await self.communicator(), await self.communicator()
        socket_path = str(scratch_folder(self) / "watch")
        path = self.file(
            f'[[pair]]\nname = "csc"\ncommand_port = 0\nreply_port = {csc.server_port}\n'
            f'[[pair]]\nname = "hhd"\nsource = "HHD"\ncommand_port = 0\nreply_port = {hhd.server_port}\n'
            f'[[port]]\nname = "watchers"\nendpoint = "unix:{socket_path}"\n'
            "[journal]\nenabled = false\n"
        )
        program = self.twistd("-n", "mtmount-bridge", "--config", path)
        await csc.connect(await self.serving(program, "csc"))
        await hhd.connect(await self.serving(program, "hhd"))
        observer = await self.observer(UNIXClientEndpoint(reactor, socket_path))
        await program.line("watchers/1: connected")
        both = [AckReply, DoneReply]
        self.assertEqual(await self.ask(csc, c.AskForCommand()), both)
        self.assertEqual(await self.ask(csc, c.AzimuthAxisPower(on=True, sequence_id=5001)), both)
        self.assertEqual(await self.ask(hhd, c.Disable(source=Source.HHD)), [NoAckReply])
        self.assertEqual(await self.ask(csc, c.AskForCommand(commander=Commander.HHD)), both)
        move = c.AzimuthAxisMove(position=0.1, source=Source.HHD, sequence_id=5002)
        self.assertEqual(await self.ask(hhd, move), both)
        self.assertEqual(await self.ask(csc, c.AskForCommand()), [NoAckReply])
        for answer in (b"0\n5001\n1\n", b"2\n5001\n1\n", b"0\n5002\n3\n", b"2\n5002\n3\n"):
            await observer.line(answer)
        await observer.line(b"6\n")
        observer.sendLine(c.BothAxesStop(sequence_id=5003).encode().removesuffix(b"\r\n"))
        self.assertIn(b"refused", await observer.line(b"1\n5003\n"))
        await self.assert_ends(program)
        self.assertFalse(os.path.exists(socket_path))
        self.assertFalse(self.state.exists())

    async def test_bad_file(self) -> None:
        """All that is wrong with a file is told, a line each, with file and key; exit status 1."""
        path = self.file('[controler]\n[[pair]]\nname = "csc"\ncommand_port = 70000\nreply_port = "x"\n')
        for words in (("-n",), ()):
            for more in ((), ("--check-config",)):
                program = self.twistd(*words, "mtmount-bridge", "--config", path, *more)
                self.assertEqual(await program.ended, 1, program.output)
                lines = sorted(program.output.splitlines())
                for line, key in zip(
                    lines, ("controler", "pair[1].command_port", "pair[1].reply_port"), strict=True
                ):
                    self.assertTrue(line.startswith(f"mtmount-bridge: {path}: {key}: "), line)

    async def test_good_file(self) -> None:
        """``--check-config`` says that a file is right, exits with 0, and leaves nothing behind."""
        words = ("mtmount-bridge", "--config", str(ROOT / "docs" / "bridge.toml"), "--check-config")
        program = self.twistd("-n", *words)
        self.assertEqual(await program.ended, 0, program.output)
        self.assertEqual(program.output, "mtmount-bridge: the configuration is right\n")
        self.assertFalse(self.state.exists())

    async def test_addresses(self) -> None:
        """What this machine can't listen on or resolve is one line that names file and key."""
        taken = self.taken_port()
        pair = f'[[pair]]\nname = "one"\ncommand_port = 0\nreply_port = {self.free_port()}\n'
        for text, expected in (
            (
                f'[[pair]]\nname = "two"\ncommand_port = {taken}\n',
                f"pair[2].command_port: can't listen on {HOST}:{taken}: ",
            ),
            (
                '[[pair]]\nname = "two"\ncommand_port = 0\nreply_port = 1\nreply_host = "no.invalid"\n',
                "pair[2].reply_host: host 'no.invalid' does not resolve",
            ),
            (
                f'[[port]]\nname = "watchers"\nendpoint = "tcp:{taken}:interface={HOST}"\n',
                f"port[1].endpoint: can't listen on {HOST}:{taken}: ",
            ),
            (
                '[controller]\nhost = "no.invalid"\ncommand_port = 5\n',
                "controller.host: host 'no.invalid' does not resolve",
            ),
        ):
            path = self.file(pair + text)
            program = self.twistd("-n", "mtmount-bridge", "--config", path)
            self.assertEqual(await program.ended, 1, program.output)
            self.assertEqual(len(program.output.splitlines()), 1, program.output)
            self.assertIn(f"mtmount-bridge: {path}: {expected}", program.output)

    async def test_unix_socket_that_can_not_be(self) -> None:
        """What shows only when it listens ends it as well, and says which port it is."""
        path = self.file('[[port]]\nname = "watchers"\nendpoint = "unix:/no/such/folder/socket"\n')
        for words in (("-n",), ()):
            # In the background the process ends before its child, which would make the journal later.
            program = self.twistd(*words, "mtmount-bridge", "--config", path, "--journal", "none")
            self.assertEqual(await program.ended, 1, program.output)
            self.assertIn("watchers: can't listen: ", program.output)


class ServiceTests(ProgramCase):
    """What `makeService` makes, in this process."""

    def service(self, module: Any, *words: str) -> Any:
        """A daemon's service; its log is left alone, and so is the clock of this reactor."""
        options = module.Options()
        options.parseOptions(words if module is simulator_tap else (*words, "--journal=none", "--web=none"))
        self.patch(daemon, "begin_log", lambda reactor, verbose: LOG)
        service = module.makeService(options)
        self.addCleanup(service.stopService)
        return service

    async def test_start_stop_start(self) -> None:
        """The bridge and its simulator can be started, stopped and started, and leave nothing behind."""
        commander = await self.communicator()
        words = ("--command-port=0", f"--reply-port={commander.server_port}")
        service = self.service(bridge, *words)
        for _ in range(2):
            service.startService()
            await commander.connect(service.getServiceNamed("mtmount-bridge").pairs[0].server_port)
            self.assertEqual(await self.ask(commander, c.AskForCommand()), [AckReply, DoneReply])
            await service.stopService()

    async def test_stop_at_once(self) -> None:
        """It can be stopped in the turn in which it was started."""
        service = self.service(bridge, "--command-port=0", f"--reply-port={self.free_port()}")
        service.startService()
        await service.stopService()

    def default_service(self) -> Any:
        """The bridge without options, on other ports than the usual ones; not started."""
        csc = PairCommander(name="csc", command_port=0, reply_port=self.free_port(), dialect="tma2020")
        config = Config(simulator=SimulatorSettings(dialect="tma2022"), pairs=(csc,))
        self.patch(bridge, "default_config", lambda: config)
        port, telemetry = self.free_port(), self.free_port()
        self.patch(bridge, "TODAYS_CSC", attrs.evolve(bridge.TODAYS_CSC, command_port=port))
        self.patch(bridge, "TELEMETRY_PORT", telemetry)
        readers = attrs.evolve(bridge.TODAYS_TELEMETRY, endpoint=f"tcp:{telemetry}:interface={HOST}")
        self.patch(bridge, "TODAYS_TELEMETRY", readers)
        return self.service(bridge).getServiceNamed("mtmount-bridge")

    def test_without_options(self) -> None:
        """Without options there are also a CSC that speaks tma2022, and telemetry."""
        config = self.default_service().config
        self.assertEqual([pair.name for pair in config.pairs], ["csc", "csc-2022"])
        self.assertEqual([port.name for port in config.telemetry], ["topics"])

    def test_without_options_beside_another_program(self) -> None:
        """A port of these that is taken costs one warning each, and not the start."""
        self.patch(daemon, "can_listen", lambda host, port: False)
        with self.assertLogs(LOG, "WARNING") as logged:
            config = self.default_service().config
        self.assertEqual([pair.name for pair in config.pairs], ["csc"])
        self.assertEqual(config.telemetry, ())
        told = [line for line in logged.output if "not served: port" in line]
        self.assertEqual(len(told), 2, logged.output)

    def test_can_listen(self) -> None:
        """A port is free, or is taken."""
        self.assertTrue(daemon.can_listen(HOST, self.free_port()))
        self.assertFalse(daemon.can_listen(HOST, self.taken_port()))

    async def test_controller_on_ipv6(self) -> None:
        """A controller at an IPv6 address is connected to, and replies where such a one would look for us."""
        service = self.service(
            *(bridge, "--command-port=0", f"--reply-port={self.free_port()}"),
            *("--controller=[::1]:1", "--controller-reply-port=0"),
        )
        service.startService()
        link = service.getServiceNamed("mtmount-bridge").link
        self.assertEqual(link.server_host, "::1")
        self.assertEqual((link.client_host, link.client_port), ("::1", 1))

    async def test_controller_elsewhere(self) -> None:
        """The replies of a controller on another machine are taken at all addresses of this one."""
        service = self.service(
            *(bridge, "--command-port=0", f"--reply-port={self.free_port()}"),
            *("--controller=192.0.2.1:1", "--controller-reply-port=0"),
        )
        service.startService()
        self.assertEqual(service.getServiceNamed("mtmount-bridge").link.server_host, "0.0.0.0")

    async def test_simulator(self) -> None:
        """The simulator takes its options: who has command, and a name to listen on."""
        service = self.service(
            *(simulator_tap, "--command-port=0", "--reply-port=1", "--commander=hhd", "--listen=localhost")
        )
        service.startService()
        self.assertEqual(service.communicator.server_host, HOST)
        commander = await self.communicator()
        service.communicator.connect(commander.server_port)
        await commander.connect(await service.wait_command_port())
        self.assertEqual(await self.ask(commander, c.AskForCommand()), [NoAckReply])


class OptionsTests(SynchronousTestCase):
    """The options of both daemons."""

    def line(self, module: Any, *words: str) -> str:
        """The one line with which the options are refused."""
        error = self.assertRaises(SystemExit, module.Options().parseOptions, words)
        self.assertEqual(len(str(error.code).splitlines()), 1)
        return str(error.code)

    def test_every_bad_value(self) -> None:
        """Each option that can be wrong by itself names itself, the value and what is expected."""
        for module, option, value in (
            (bridge, "controller", "mount"),
            (bridge, "controller-reply-port", "65536"),
            (bridge, "controller-dialect", "tma2021"),
            (bridge, "telemetry", "50035"),
            (bridge, "simulator-dialect", "tma2021"),
            (bridge, "command-port", "-1"),
            (bridge, "reply-port", "0"),
            (simulator_tap, "command-port", "one"),
            (simulator_tap, "reply-port", "0"),
            (simulator_tap, "commander", "PXI"),
            (simulator_tap, "speed", "0"),
        ):
            line = self.line(module, f"--{option}={value}")
            self.assertIn(f"{module.DAEMON}: --{option}: expected ", line)
            self.assertIn(f"got {value!r}", line)

    def config(self, *words: str) -> Config:
        """The configuration that options make."""
        options = bridge.Options()
        options.parseOptions(words)
        config: Config = options.config
        return config

    def test_no_options(self) -> None:
        """With no options the configuration is the default one."""
        self.assertEqual(self.config(), default_config())

    def test_reply_ports(self) -> None:
        """Replies go to one port above the commands', unless another is named."""
        options = simulator_tap.Options()
        options.parseOptions([])
        self.assertEqual((options["command-port"], options["reply-port"]), (30005, 30006))
        options = simulator_tap.Options()
        options.parseOptions(["--command-port=40005"])
        self.assertEqual(options["reply-port"], 40006)
        for words, ports in (
            ((), (30005, 30006)),
            (("--command-port=40005",), (40005, 40006)),
            (("--command-port=40005", "--reply-port=7"), (40005, 7)),
            (("--reply-port=7",), (30005, 7)),
        ):
            [pair] = self.config(*words).pairs
            self.assertEqual((pair.command_port, pair.reply_port), ports)
        controller = self.config("--controller=[::1]:60005").controller
        assert controller is not None
        self.assertEqual(
            (controller.host, controller.command_port, controller.reply_port), ("::1", 60005, 60006)
        )

    def test_options_win(self) -> None:
        """An option is put over what a file says; the rest of the file stays."""
        path = scratch_path(self)
        path.write_text(
            '[controller]\nhost = "mount"\ncommand_port = 60005\nreply_host = "127.0.0.1"\n'
            '[[pair]]\nname = "a"\nlisten = "127.0.0.1"\ncommand_port = 1000\nreply_host = "far"\n'
            '[[pair]]\nname = "b"\ncommand_port = 2000\n[command]\nin_flight = 3\n'
            f'[journal]\npath = "{path.absolute()}.sqlite"\nkeep_days = 2\n'
        )
        plain = self.config(f"--config={path}")
        config = self.config(
            *(f"--config={path}", "--controller-reply-port=70", "--command-port=3000", "--journal=none")
        )
        assert plain.controller is not None and config.controller is not None
        self.assertEqual((plain.controller.reply_port, config.controller.reply_port), (60006, 70))
        self.assertEqual(config.controller.host, "mount")
        self.assertEqual((config.pairs[0].command_port, config.pairs[0].reply_port), (3000, 3001))
        self.assertEqual((config.pairs[0].name, config.pairs[0].reply_host), ("a", "far"))
        self.assertEqual((config.pairs[1], config.command), (plain.pairs[1], plain.command))
        self.assertEqual((plain.journal.enabled, config.journal.enabled), (True, False))
        journal = self.config(f"--config={path}", f"--journal={path}.other").journal
        self.assertEqual((journal.path, journal.keep_days), (f"{path.absolute()}.other", 2))
        other = self.config(f"--config={path}", "--controller=other:5").controller
        assert other is not None
        self.assertEqual((other.host, other.command_port, other.reply_port), ("other", 5, 6))

    def test_dialect(self) -> None:
        """Options name the mount's protocol and the place of its telemetry; a file's dialect stays."""
        mount = ("--controller=mount:65535", "--controller-dialect=tma2022", "--command-port=65535")
        config = self.config(*mount)
        assert config.controller is not None
        self.assertEqual((config.dialect, config.controller.telemetry), ("tma2022", ("mount", 50035)))
        self.assertEqual((config.pairs[0].command_port, config.pairs[0].reply_port), (65535, None))
        controller = self.config(*mount, "--telemetry=[::1]:7").controller
        assert controller is not None
        self.assertEqual(controller.telemetry, ("::1", 7))
        path = scratch_path(self)
        path.write_text(
            '[controller]\nhost = "mount"\ncommand_port = 60005\ndialect = "tma2022"\n'
            '[[pair]]\nname = "a"\ncommand_port = 1000\n'
        )
        for words, expected in (
            (("--controller=other:5",), ("other", 50035)),
            (("--telemetry=other:7",), ("other", 7)),
            (("--controller-dialect=tma2020",), None),
        ):
            controller = self.config(f"--config={path}", *words).controller
            assert controller is not None
            self.assertEqual(controller.telemetry, expected)

    def test_telemetry_of_a_mount_without(self) -> None:
        """Before a tma2020 mount, one line names the option for telemetry."""
        line = self.line(bridge, "--controller=mount:5", "--telemetry=mount:7")
        self.assertTrue(
            line.startswith("mtmount-bridge: --telemetry: a mount that speaks tma2020 has no telemetry"), line
        )

    def test_without_effect(self) -> None:
        """An option that the mount's dialect or the missing controller leaves without effect is refused."""
        mount = ("--controller=mount:5", "--controller-dialect=tma2022")
        for words, option, why in (
            (("--telemetry=mount:7",), "telemetry", "there is no controller"),
            (("--controller-dialect=tma2022",), "controller-dialect", "there is no controller"),
            (("--controller-reply-port=7",), "controller-reply-port", "there is no controller"),
            ((*mount, "--simulator-dialect=tma2022"), "simulator-dialect", "there is a controller"),
            ((*mount, "--reply-port=30006"), "reply-port", "replies of tma2022 come on the connection"),
            ((*mount, "--controller-reply-port=6"), "controller-reply-port", "replies of tma2022 come on"),
        ):
            line = self.line(bridge, *words)
            self.assertTrue(line.startswith(f"mtmount-bridge: --{option}: {why}"), line)

    def test_clash_with_the_file(self) -> None:
        """An option that does not go with the rest of the file is refused."""
        path = scratch_path(self)
        path.write_text(
            '[[pair]]\nname = "a"\ncommand_port = 1000\n[[pair]]\nname = "b"\ncommand_port = 2000\n'
        )
        self.assertIn(
            f"{path}: pair[2].command_port: {HOST}:2000 is used by pair[1].command_port already",
            self.line(bridge, f"--config={path}", "--command-port=2000", "--reply-port=3000"),
        )

    def test_in_options(self) -> None:
        """Without a file, what does not go together is told in the options' own names."""
        for words, expected in (
            (("--listen=a b",), "--listen: expected a host name or an address"),
            (("--reply-host=a:5",), "--reply-host: expected a host name or an address"),
            (("--journal=",), "--journal: expected a path"),
            (
                ("--command-port=50", "--reply-port=50"),
                f"--reply-port: {HOST}:50 is used by --command-port already",
            ),
        ):
            self.assertIn(f"{bridge.DAEMON}: {expected}", self.line(bridge, *words))

    def test_no_next_port(self) -> None:
        """Where there is no port one above, the reply port has to be named."""
        for module, words in (
            (bridge, ["--command-port=0"]),
            (bridge, ["--command-port=65535"]),
            (bridge, ["--controller=mount:65535"]),
            (simulator_tap, ["--command-port=0"]),
        ):
            self.assertIn("reply-port: there is no port one above", self.line(module, *words))

    def test_commander(self) -> None:
        """Who has command at first is named in capitals or not."""
        options = simulator_tap.Options()
        options.parseOptions(["--commander", "Hhd"])
        self.assertIs(options["commander"], Commander.HHD)

    def test_help(self) -> None:
        """Every option is explained, with its default where it has one."""
        for module in (bridge, simulator_tap):
            options = module.Options()
            options.parent = usage.Options()
            options.parent.synopsis, options.parent.subCommand = "twistd [options]", module.DAEMON
            text_of_all = " ".join(str(options).split())
            for name, _, default, text in options.optParameters:
                self.assertIn(f"--{name}= {' '.join(text.split())}", text_of_all)
                if name != "config":
                    self.assertIn(f"[default: {'' if default is None else default}", text_of_all)
            for name, _, text in options.optFlags:
                self.assertIn(f"--{name} {text}", text_of_all)
            self.assertIn(f"twistd [options] {module.DAEMON} [options]", text_of_all)
            self.assertIn(options.longdesc.split(".")[0], text_of_all)
