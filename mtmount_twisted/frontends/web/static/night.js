// What is known of a recorded night: its slews and alarms, and the alarms and the holder of command at a moment in it.
//
// Pure: values in, values out. Times are UTC in seconds since 1970.

import { byTime } from "./recent.js";

const LENGTH = 43_200; // s that the slider covers
const HOUR = 3600;
const ALARMS = { ERROR: "errors", WARNING: "warnings" };

// The 12 hours around a time, from one full hour to another, if the mount has lived through them; {from, to}.
export function nightOf(time, now) {
  const to = Math.min(Math.ceil((time + LENGTH / 2) / HOUR) * HOUR, Math.ceil(now / HOUR) * HOUR);
  return { from: to - LENGTH, to };
}

const keyOf = ({ subsystem, subsystem_instance: instance, code }) => JSON.stringify([subsystem, instance, code]);

const isOn = ({ active, on, latched }) => Boolean(active ?? on) || Boolean(latched);

// Fold messages, oldest first, into the alarms at a time: {errors, warnings}, in the shape of the daemon's state.
export function alarmsAt(entries, time) {
  const known = { errors: new Map(), warnings: new Map() };
  for (const { kind, fields, time: iso } of entries) {
    const list = known[ALARMS[kind]];
    if (!list || !fields || Date.parse(iso) / 1000 > time) continue;
    const key = keyOf(fields);
    const before = list.get(key);
    list.delete(key);
    if (isOn(fields)) list.set(key, { ...alarmOf(fields), time: before?.time ?? iso });
  }
  return { errors: [...known.errors.values()], warnings: [...known.warnings.values()] };
}

const text = (extra) => (Array.isArray(extra) ? extra.join(", ") : (extra ?? ""));

function alarmOf({ active, on, latched, code, subsystem, subsystem_instance: instance, name, description, extra_data: extra }) {
  const origin = subsystem ?? instance ?? "";
  const what = name ? `${origin}: ${name}` : String(origin);
  return { active: Boolean(active ?? on), latched: Boolean(latched), code, subsystem: String(origin), what, description: description ?? text(extra) };
}

// The times at which an error began, of messages oldest first.
export function alarmTimes(entries) {
  const on = new Set();
  const times = [];
  for (const { kind, fields, time } of entries) {
    if (kind !== "ERROR" || !fields) continue;
    const key = keyOf(fields);
    if (!isOn(fields)) on.delete(key);
    else if (!on.has(key)) {
      on.add(key);
      times.push(Date.parse(time) / 1000);
    }
  }
  return times;
}

const failed = ({ passed, failures }) => !passed && !(failures ?? []).includes("interrupted");

// The marks of a night: {slews, failed, alarms}, times in order.
export function marksOf(slews, entries, { from, to }) {
  const within = (time) => time >= from && time <= to;
  const start = (slew) => Date.parse(slew.start) / 1000;
  const order = (times) => times.filter(within).sort((one, other) => one - other);
  return { slews: order(slews.map(start)), failed: order(slews.filter(failed).map(start)), alarms: order(alarmTimes(entries)) };
}

// The changes of the journal that tell who has command.
export const OF_HOLDER = ["lease_granted", "lease_released", "started", "stopped", "gap"];

const NOBODY = { holder: null, source: null, requests: [], holder_gone: false };
const lost = (why) => ({ ...NOBODY, since: null, unknown: why });
// What a change says of the time after it.
const AFTER = {
  lease_granted: ({ peer, time }) => ({ ...NOBODY, holder: peer, since: time, unknown: "" }),
  lease_released: ({ time }) => ({ ...NOBODY, since: time, unknown: "" }),
  started: ({ time }) => ({ ...NOBODY, since: time, unknown: "" }), // a lease ends with its daemon
  stopped: () => lost("the daemon was stopped"),
  gap: () => lost("the journal has a gap"),
};

// The lease at a time, in the shape of the daemon's state; `unknown` is the reason if it is not known. The source of the
// holder is not in the journal. `changes` are those of OF_HOLDER in any order, or null if they are not read.
export function leaseAt(changes, time) {
  if (changes === null) return lost("the journal is not read");
  const before = changes.filter(({ time: iso }) => Date.parse(iso) / 1000 <= time).sort(byTime);
  const last = before.at(-1);
  return last === undefined ? lost("no journal of then") : AFTER[last.kind](last);
}

// The state of the daemon with the alarms and the holder of another time, and without what is known of now only. `known`
// is {entries, changes, whole}: the messages with alarms, oldest first, and the changes of OF_HOLDER, each null if they are
// not read; `whole` says that no message is missing. `past` is the answer about that time, or null: its devices and alarms
// are those of the recorded events. Without such events the alarms are those of the messages.
export function pastState(state, { entries, changes, whole = true }, time, past = null) {
  const axis = { in_position: null, stale: false, time: null, telemetry: null };
  const { devices, errors, warnings } = past ?? {};
  const recorded = Array.isArray(errors) && Array.isArray(warnings);
  return {
    ...state,
    ...(recorded ? { errors, warnings } : alarmsAt(entries ?? [], time)),
    alarms_unknown: !recorded && (entries === null || !whole),
    axes: { azimuth: axis, elevation: axis, camera_cable_wrap: axis },
    devices: devices ?? {},
    in_flight: [],
    lease: leaseAt(changes, time),
    you: { ...state.you, has_command: false },
    controller: { ...state.controller, connected: true },
  };
}

// The quantities of an answer's topics by the names of their signals; an element of an array has its number, from 1.
export function valuesOf(topics) {
  const found = {};
  for (const [topic, { values }] of Object.entries(topics ?? {})) {
    for (const [name, value] of Object.entries(values)) {
      if (Array.isArray(value)) value.forEach((each, index) => (found[`${topic}.${name}${index + 1}`] = each));
      else found[`${topic}.${name}`] = value;
    }
  }
  return found;
}
