"""The types of which the API's answers and parameters are made.

Each is a Python type to mypy and a JSON Schema to `msgspec`. Next to read: `calls.Route`, which uses them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(min_length=1)]
"""A text that is not empty."""

EventId = Annotated[str, Meta(pattern="^[0-9]+\\.[0-9]+$")]
"""The id of an event: RUN.ROW."""
