"""``nox -s tests``: the tests on every Python of this machine; ``nox -s NAME``: that check of ``.ci/run``."""

from __future__ import annotations

import os
import shutil
import subprocess

import nox

nox.needs_version = ">=2025.2"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
CHECKS = ["coverage", "lint", "types", "packaging", "architecture", "docs", "site"]


def choose_all_of_pyenv() -> None:
    """Let pyenv's shims start every Python that pyenv has: left alone, they start only the chosen one."""
    if shutil.which("pyenv") is None:
        return
    chosen = subprocess.check_output(["pyenv", "version-name"], text=True).strip().split(":")
    installed = subprocess.check_output(["pyenv", "versions", "--bare"], text=True).split()
    ours = [version for version in installed if ".".join(version.split(".")[:2]) in PYTHONS]
    os.environ["PYENV_VERSION"] = ":".join(dict.fromkeys(chosen + ours))


choose_all_of_pyenv()


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests under pytest and under trial."""
    session.install(".[test]")
    session.run("python", "-m", "pytest", *session.posargs)
    session.run("python", "-m", "twisted.trial", "tests")


def add_check(name: str) -> None:
    """Make the session that runs one step of ``.ci/run``."""

    @nox.session(name=name, venv_backend="none")
    def check(session: nox.Session) -> None:
        session.run("bash", ".ci/run", name, external=True)


for name in CHECKS:
    add_check(name)
