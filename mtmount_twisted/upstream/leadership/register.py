"""The value of the register ``mt.MOUNT.lease``: the bridge that has the lease, as JSON.

Pure. Next to read: `tenure`, which reads and writes it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct


class Commander(Struct, frozen=True):
    """The commander that has command at the bridge.

    :ivar holder: the name of this commander.
    :ivar source: the name of its source.
    :ivar number: the number of the commander's lease of command at the bridge.
    """

    holder: str
    source: str
    number: int = 0


class RegisterValue(Struct, frozen=True):
    """The value.

    :ivar holder: the node of the bridge that has the lease; empty if none has it.
    :ivar epoch: the number of the tenure; each taking of the lease increases it by one.
    :ivar link: True while this bridge has the link to the controller.
    :ivar command: the commander that has command there; None if there is none.
    """

    holder: str
    epoch: Annotated[int, Meta(ge=0)]
    link: bool
    command: Commander | None = None


NO_VALUE: RegisterValue = RegisterValue("", 0, False)
"""The value of a register that was never set."""


def encode(value: RegisterValue) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def decode(text: str | None) -> RegisterValue:
    """Return the value in a register; `NO_VALUE` for one that was never set.

    :raises ValueError: if it is malformed.
    """
    if text is None:
        return NO_VALUE
    try:
        return msgspec.json.decode(text, type=RegisterValue)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
