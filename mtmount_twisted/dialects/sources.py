"""The sources of commands, which have the same names and numbers in each generation of the protocol.

Values only. Next to read: `dialect`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal


class Source(IntEnum):
    """The component that sent a command."""

    CSC = 1
    EUI = 2
    HHD = 3
    PXI = 100


CommandingSource = Literal["CSC", "EUI", "HHD"]
"""The names of the sources that may have command: all but the controller itself."""


class Commander(IntEnum):
    """The commander that shall have command, in `AskForCommand`."""

    NONE = 0
    CSC = 1
    EUI = 2
    HHD = 3
