"""The version of this package, in its only place: ``setup.cfg`` reads it from here. Pure."""

__version__ = "0.2.0"


def how_to_install(extra: str) -> str:
    """Return the text that ends an error about a missing extra, such as ``web``."""
    return f"in the clone of mtmount_twisted run .venv/bin/pip install -e '.[{extra}]'"
