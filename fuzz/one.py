"""``python -m fuzz.one TARGET [libFuzzer's options and folders]``: one target under atheris."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["mtmount_twisted"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer has had enough; it ends the process."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
