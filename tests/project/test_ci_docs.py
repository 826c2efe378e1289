"""``.ci/docs.py``: a block that does not do what its page says is an error, and none is skipped silently."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.support.folders import scratch_folder

CI = Path(__file__).resolve().parent.parent.parent / ".ci"


def load_docs() -> Any:
    """Import the script, which is in no package."""
    spec = importlib.util.spec_from_file_location("mtmount_ci_docs", CI / "docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DocsTests(SynchronousTestCase):
    """What is said of the blocks of a page."""

    def setUp(self) -> None:
        if not (CI / "docs.py").exists():
            raise SkipTest("an installed package has no .ci")
        self.patch(sys, "path", [str(CI), *sys.path])
        self.docs = load_docs()
        self.folder = scratch_folder(self)
        self.reader = self.docs.Reader(self.folder, {"PATH": os.environ["PATH"], "HOME": str(self.folder)})

    def wrongs(self, *blocks: str) -> list[str]:
        """What is wrong with each block of a page."""
        page = self.folder / "page.rst"
        page.write_text("Page\n\n" + "\n\nText.\n\n".join(blocks) + "\n", encoding="utf-8")
        return [wrong for _, wrong in self.reader.read(page)]

    def test_right(self) -> None:
        """What works, and what is marked, is no error; a file that is saved is there for the next block."""
        self.assertEqual(
            self.wrongs(
                ".. save as: words\n.. code-block:: text\n\n   a word\n",
                ".. shows: ^a word$\n.. code-block:: sh\n\n   cat words\n",
                ".. prints\n.. code-block:: text\n\n   a word\n",
                ".. not run: it needs another machine\n.. code-block:: sh\n\n   exit 1\n",
                ".. stop after: y\n.. code-block:: sh\n\n   yes\n",
                '.. code-block:: json\n\n   {"a": 1}\n',
                ".. code-block:: ini\n\n   [Unit]\n   After=a b\n",
                ".. code-block:: console\n\n   $ echo 10:00:00.000 done\n   10:00:00.000 done\n",
            ),
            [""] * 8,
        )

    def test_wrong(self) -> None:
        """Each of these is an error of its own; the page is read to its end."""
        wrongs = self.wrongs(
            "A literal block::\n\n   ls\n",
            ".. code-block:: text\n\n   what is it?\n",
            ".. code-block:: basic\n\n   10 GOTO 10\n",
            ".. code-block:: sh\n\n   echo before\n   exit 3\n   echo behind\n",
            ".. shows: another\n.. code-block:: sh\n\n   echo word\n",
            ".. prints\n.. code-block:: text\n\n   another\n",
            ".. code-block:: json\n\n   {...}\n",
            ".. code-block:: console\n\n   $ echo word\n   another\n",
            ".. stop after: another\n.. code-block:: sh\n\n   echo word\n",
        )
        for wrong, expected in zip(
            wrongs,
            (
                "a block without a language",
                "blocks of text",
                "blocks of basic",
                "exit status 3:\nbefore\n",
                "it has printed:\nword",
                "the block before has printed:\nword",
                "Expecting property name",
                "nothing like 'another' was printed",
                "nothing like 'another' was printed",
            ),
            strict=True,
        ):
            self.assertIn(expected, wrong)

    def test_daemon(self) -> None:
        """A daemon is known by its command, unless that only says something."""
        for command, expected in (
            (".venv/bin/twistd -n mtmount-bridge", True),
            ("make && .venv/bin/twistd -n mtmount-bridge --config bridge.toml", True),
            (".venv/bin/twistd -n mtmount-simulator --speed 2 \\\n    --fault late", True),
            (".venv/bin/mtmount-bridge", True),
            (".venv/bin/mtmount-simulator --speed 2", True),
            (".venv/bin/mtmount-bridge --check-config", False),
            (".venv/bin/twistd -n mtmount-bridge --config bridge.toml --check-config", False),
            (".venv/bin/twistd mtmount-bridge --help", False),
            (".venv/bin/mtmount-commander", False),
        ):
            self.assertEqual(self.docs.goes_on(command + "\n"), expected, command)

    def test_installs_once(self) -> None:
        """A page that repeats the README's first command gets the daemon, and what is installed already."""
        program = self.folder / ".venv" / "bin" / "twistd"
        program.parent.mkdir(parents=True)
        program.write_text(
            f"#!{sys.executable}\n"
            "from signal import SIG_BLOCK, SIGINT, pthread_sigmask, sigwait\n"
            "pthread_sigmask(SIG_BLOCK, {SIGINT})\n"
            "print('the controller is connected', flush=True)\n"
            "sigwait({SIGINT})\n"
            "print('Server Shut Down.')\n"
        )
        program.chmod(0o755)
        run = ".venv/bin/twistd -n mtmount-bridge"
        self.patch(self.docs, "INSTALL_AND_RUN", f"echo once >> installed && {run}\n")
        self.patch(self.docs, "RUN_DAEMON", f" {run}\n")
        block = f".. code-block:: sh\n\n   {self.docs.INSTALL_AND_RUN}"
        self.assertEqual(self.wrongs(block, block), ["", ""])
        self.assertEqual(self.wrongs(block), [""])
        self.assertEqual((self.folder / "installed").read_text(), "once\n")
