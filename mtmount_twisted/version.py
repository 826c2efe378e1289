"""The version of this package: the one place that says it; ``setup.cfg`` reads it from here."""

__version__ = "0.2.0"


def how_to_install(extra: str) -> str:
    """Return the words for an error about a missing extra, such as ``web``."""
    return f"in the clone of mtmount_twisted run .venv/bin/pip install -e '.[{extra}]'"
