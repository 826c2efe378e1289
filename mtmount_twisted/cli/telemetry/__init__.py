"""Reading of recordings of telemetry: ``mtmount-telemetry`` runs `main`.

* `options`: the command line; `program`: the complete program.
* `text`: recordings and values as lines for people; `export`: signals and lines as CSV.
* `playing`: a recorded night on a port, as if live.

The daemon may write at the same time. Next to read: `program`. ``docs/howto/recordings.rst`` is the manual.
"""

from .program import run as main

__all__ = ["main"]
