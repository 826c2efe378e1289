"""The safety system: causes, subcauses and effects, in the masks of event 30.

A cause is present while its condition lasts. Some causes are stored: their effects stay after the condition
has gone, until `SafetyReset` resets them.

Pure. Next to read: `mount`, which turns off the devices that an effect reaches.
"""

from __future__ import annotations

from typing import Any

from mtmount_twisted.dialects.tma2022.replies import SafetyInterlocksReply

from .execution import invalid

MASKS = {
    "causes": 36,
    "subcauses_emergency_stop": 40,
    "subcauses_limit_switch": 10,
    "subcauses_deployable_platform": 16,
    "subcauses_door_hatch_ladder": 8,
    "subcauses_mirror_cover": 2,
    "subcauses_locking_pin": 6,
    "subcauses_capacitor_door": 8,
    "subcauses_brakes_failed": 10,
}
"""Number of bits of each mask that can be set. The effects follow from the causes."""

MAX_INDEX = 39
"""Largest index of a cause in `SafetyReset` (protocol-tma2022.rst, "The mock controller"); a cause exists
only for 0 to 35."""

LASTING: dict[int, tuple[int, ...]] = {
    4: (7, 14),  # AZbrake
    9: (6, 7, 14),  # ELbrake
    10: (8,),  # MCclosed
    11: (5,),  # MCcutOffSwitch
    14: (1,),  # ELlockIns
    15: (7, 8),  # ELlockTest
    16: (7, 8),  # ELlockRet
    20: (0, 1, 6),  # DPnoparked
    21: (8,),  # DPnoextended
    22: (0, 1, 5, 7),  # DPextnoInserted
    31: (0, 1),  # PierAccess
    32: (10,),  # DischargeCapacitor
    33: (2, 4, 5, 6, 7, 8, 9, 11),  # DisableOther
    34: (0, 1),  # MainDrivesSto
    35: (3,),  # CcwSTO
}
"""For each cause, the bits of the effects that last as long as its condition. The matrix is from 2023
(``interlocks.json``); the running safety program may differ. Its notes and overrides are left out."""

STORED: dict[int, tuple[int, ...]] = {
    0: (0,),  # AZlimP
    1: (0,),  # AZlimN
    2: (0,),  # AZoverspeed
    3: (0, 11),  # AZpressBrk
    5: (1,),  # ELlimP
    6: (1,),  # ELlimN
    7: (1,),  # ELoverspeed
    8: (1, 11),  # ELpressBrk
    12: (0,),  # AZCWlimP
    13: (0,),  # AZCWlimN
    17: (0, 1),  # DoorClosed
    18: (0,),  # DoorLadParked
    19: (0, 1, 4),  # HatchClosed
    23: (3, 12),  # PullCordP
    24: (3, 12),  # PullCordN
    25: (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13),  # ETPBtma
    26: (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 13),  # ETPBphase
    27: (0, 1),  # OSSbad
    28: (0, 1),  # CapBankNoClosed
    29: (0, 1, 2, 3, 4, 5, 6, 7, 9, 15),  # Watchdog
    30: (0, 1, 2, 3, 4, 5, 6, 7, 9, 15),  # LossComm
}
"""For each cause, the bits of the effects that stay until a reset."""


STORABLE = sum(1 << cause for cause in STORED)
"""Mask of the causes that stay until a reset."""


def check_bit(mask: str, bit: int) -> None:
    """Check that there is a bit in a mask.

    :raises ValueError: if there is no such mask or bit.
    """
    if mask not in MASKS:
        raise ValueError(f"mask: expected one of {', '.join(MASKS)}, got {mask!r}")
    if not 0 <= bit < MASKS[mask]:
        raise ValueError(f"bit: expected 0 to {MASKS[mask] - 1} of {mask}, got {bit!r}")


class Safety:
    """The safety system.

    :ivar masks: the conditions that are present, by the names of the masks.
    """

    def __init__(self) -> None:
        self.masks: dict[str, int] = dict.fromkeys(MASKS, 0)
        self._stored = 0

    @property
    def effects(self) -> int:
        """The mask of effects."""
        lasting, stored = self.masks["causes"], self.masks["causes"] | self._stored
        effects = 0
        for causes, table in ((lasting, LASTING), (stored, STORED)):
            for cause, bits in table.items():
                if causes >> cause & 1:
                    effects |= sum(1 << bit for bit in bits)
        return effects

    def set_bit(self, mask: str, bit: int, active: bool) -> None:
        """Begin or end the condition of one bit.

        :param mask: a key of `MASKS`.
        :raises ValueError: if there is no such mask or bit.
        """
        check_bit(mask, bit)
        if active:
            self.masks[mask] |= 1 << bit
        else:
            self.masks[mask] &= ~(1 << bit)
        self._stored |= self.masks["causes"] & STORABLE

    def read_indexes(self, text: str) -> list[int]:
        """Return the causes that a `SafetyReset` names.

        :raises Refusal: if the text is malformed.
        """
        try:
            indexes = [int(word) for word in text.split(":")]
        except ValueError:
            indexes = [-1]
        if not all(0 <= index <= MAX_INDEX for index in indexes):
            raise invalid(f"what={text}: expected indexes from 0 to {MAX_INDEX} with : between them")
        return indexes

    def reset(self, indexes: list[int]) -> None:
        """Forget stored causes. A cause stays in the mask as long as its condition is present."""
        for index in indexes:
            self._stored &= ~(1 << index)
        self._stored |= self.masks["causes"] & STORABLE

    def values(self) -> tuple[int, ...]:
        """Return the masks in the order of event 30."""
        return (self.masks["causes"] | self._stored, *list(self.masks.values())[1:], self.effects)

    def event(self, timestamp: float) -> SafetyInterlocksReply:
        """Return event 30."""
        masks: dict[str, Any] = dict(zip((*MASKS, "effects"), self.values()))
        return SafetyInterlocksReply(timestamp=timestamp, **masks)
