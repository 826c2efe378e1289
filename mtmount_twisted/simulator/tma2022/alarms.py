"""The alarms and warnings that are present or latched: events 10 and 11.

An alarm latches when its condition begins, and stays latched until a reset-alarm command, which works only
once the condition has ended (protocol-tma2022.rst, "Replies, events and telemetry"). A latched alarm keeps
its device off.

This module uses no clock and no socket: its owner calls it and sends the events. Next to read: `catalogue` (a
search in the vendor's list), `mount` (the caller).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mtmount_twisted.dialects.tma2022.enums import SubsystemId, System
from mtmount_twisted.dialects.tma2022.replies import ErrorReply, Reply, WarningReply

from .catalogue import ALARM, Entry
from .devices import Device

DEVICES: Mapping[int, System] = {
    SubsystemId.AZIMUTH: System.AZIMUTH,
    SubsystemId.AZIMUTH_DRIVE: System.AZIMUTH,
    SubsystemId.AZIMUTH_CABLE_WRAP: System.AZIMUTH,
    SubsystemId.ELEVATION: System.ELEVATION,
    SubsystemId.ELEVATION_DRIVE: System.ELEVATION,
    SubsystemId.MAIN_AXES_POWER_SUPPLY: System.MAIN_AXES_POWER_SUPPLY,
    SubsystemId.OIL_SUPPLY_SYSTEM: System.OIL_SUPPLY_SYSTEM,
    SubsystemId.MIRROR_COVERS: System.MIRROR_COVERS,
    SubsystemId.CAMERA_CABLE_WRAP: System.CAMERA_CABLE_WRAP,
    SubsystemId.MAIN_CABINET_THERMAL: System.MAIN_CABINET_THERMAL,
    SubsystemId.MIRROR_COVER_LOCKS: System.MIRROR_COVER_LOCKS,
    SubsystemId.AZIMUTH_DRIVES_THERMAL: System.AZIMUTH_DRIVES_THERMAL,
    SubsystemId.ELEVATION_DRIVES_THERMAL: System.ELEVATION_DRIVES_THERMAL,
    1900: System.CABINET_0101_THERMAL,
    SubsystemId.TOP_END_CHILLER: System.TOP_END_CHILLER,
    2600: System.AUXILIARY_CABINETS_THERMAL,
}
"""The device that an alarm of each subsystem turns off. The other subsystems have no simulated device, and no
command with a message class resets their alarms. The mount reports such an alarm, which stays latched until
`Alarms.forget`."""


@dataclass(slots=True)
class _Condition:
    is_active: bool = True
    is_latched: bool = False


class Alarms:
    """The alarms and warnings of a mount.

    :param devices: the devices of the mount.
    :param send: function that sends an event.
    :param tai: function that returns TAI, s.
    """

    def __init__(
        self, devices: Mapping[System, Device], send: Callable[[Reply], None], tai: Callable[[], float]
    ) -> None:
        self._devices = devices
        self._send = send
        self._tai = tai
        self._conditions: dict[Entry, _Condition] = {}

    def begin_alarm(self, entry: Entry) -> None:
        """Begin the condition of an alarm or a warning. An alarm turns its device off. If the condition is
        present already, do nothing."""
        condition = self._conditions.setdefault(entry, _Condition(is_active=False))
        if condition.is_active:
            return
        condition.is_active = True
        condition.is_latched = entry.severity == ALARM
        self._report(entry)
        device = self._device(entry)
        if entry.severity == ALARM and device is not None:
            device.raise_alarm(entry.name)

    def end(self, entry: Entry) -> None:
        """End a condition. An alarm stays latched. If the condition is not present, do nothing."""
        condition = self._conditions.get(entry)
        if condition is not None and condition.is_active:
            condition.is_active = False
            self._report(entry)
            if not condition.is_latched:
                del self._conditions[entry]

    def end_all(self) -> None:
        """End all conditions."""
        for entry in list(self._conditions):
            self.end(entry)

    def forget(self) -> None:
        """End all conditions, and unlatch the alarms of subsystems that no command resets."""
        self.end_all()
        for entry in list(self._conditions):
            if self._device(entry) is None:
                self._unlatch(entry)

    def reset(self, system: System) -> bool:
        """Unlatch the alarms of a device whose conditions have ended. Return True if no alarm of it stays
        latched."""
        own = [entry for entry in self._conditions if DEVICES.get(entry.subsystem_id) is system]
        for entry in own:
            if self._conditions[entry].is_latched and not self._conditions[entry].is_active:
                self._unlatch(entry)
        return not any(self._conditions[entry].is_latched for entry in own if entry in self._conditions)

    def report_all(self) -> None:
        """Send the event of each alarm and warning that is present or latched."""
        for entry in self._conditions:
            self._report(entry)

    def _unlatch(self, entry: Entry) -> None:
        self._conditions[entry].is_latched = False
        self._report(entry)
        del self._conditions[entry]

    def _device(self, entry: Entry) -> Device | None:
        system = DEVICES.get(entry.subsystem_id)
        return None if system is None else self._devices[system]

    def _report(self, entry: Entry) -> None:
        condition = self._conditions[entry]
        fields: dict[str, Any] = {
            "timestamp": self._tai(),
            "name": entry.name,
            "subsystem_id": entry.subsystem_id,
            "subsystem_instance": f"{entry.subsystem_id}.Simulator",
            "active": condition.is_active,
            "code": entry.code,
            "description": entry.meaning,
        }
        if entry.severity == ALARM:
            self._send(ErrorReply(**fields, latched=condition.is_latched))
        else:
            self._send(WarningReply(**fields))
