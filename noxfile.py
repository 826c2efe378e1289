"""``nox -s tests``: the tests on every Python of this machine; ``nox -s NAME``: that check of ``.ci/run``."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
CHECKS = ["coverage", "lint", "types", "packaging", "architecture", "main-job"]


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
