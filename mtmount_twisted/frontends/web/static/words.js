// Describes an entry of the journal in words.
//
// Pure: text in, text out; callers insert the result as text.

import { spoken } from "./figures.js";

const AXES = ["azimuth", "elevation"];

// The command and the commander of an answer, or its number if these are unknown.
function answer(what, { sequence_id: key }, named) {
  if (named.has(key)) return `${what}: ${named.get(key)}`;
  return key === undefined ? what : `${what} of #${key}`;
}
const about = ({ active, code, ...from }, what) => `${active ? what : `${what} over:`} ${code}, ${origin(from)}`;
const origin = ({ subsystem, subsystem_instance: instance, name }) => subsystem ?? `${instance}: ${name}`;

// The messages of tma2020, then those of tma2022 with another name.
const SAID = {
  ACK: (fields, named) => answer("Ack", fields, named),
  DONE: (fields, named) => answer("Done", fields, named),
  NOACK: (fields, named) => `${answer("NoAck", fields, named)} (${fields.explanation})`,
  ON_STATE_INFO: (fields) => fields.description,
  IN_POSITION: ({ what, axis, in_position: is }) =>
    `${spoken(axis ?? AXES[what] ?? what)} ${is ? "in position" : "not in position"}`,
  WARNING: (fields) => about(fields, "warning"),
  ERROR: (fields) => about(fields, "error"),
  CMD_ACKNOWLEDGED: (fields, named) => answer("Ack", fields, named),
  CMD_SUCCEEDED: (fields, named) => answer("Done", fields, named),
  CMD_REJECTED: (fields, named) => `${answer("Rejected", fields, named)} (${fields.explanation})`,
  CMD_FAILED: (fields, named) => `${answer("Failed", fields, named)} (${fields.explanation})`,
  CMD_SUPERSEDED: (fields, named) => answer("Superseded", fields, named),
  STATE_INFO: (fields) => fields.state,
  AXIS_MOTION_STATE: ({ axis, state }) => `${spoken(axis)} ${spoken(state)}`,
  POWER_STATE: ({ system, power_state: power }) => `${spoken(system)} power ${spoken(power)}`,
  HOMED: ({ axis, homed }) => `${spoken(axis)} ${homed ? "homed" : "not homed"}`,
};

// An event without words of its own: its name, and its fields but for those of every message.
function plain(kind, fields) {
  const told = Object.entries(fields).filter(([name, value]) => value !== null && !COMMON.has(name));
  return `${spoken(kind)}${told.length ? `: ${told.map(([name, value]) => `${spoken(name)} ${value}`).join(", ")}` : ""}`;
}

// A message of the mount in a few words; `named` maps keys to commands, as in the store. A faulty mount sends a field of any
// type.
export function word({ kind, fields, text }, named) {
  const say = fields && SAID[kind];
  return String((say && say(fields, named)) || (fields ? plain(kind, fields) : `${kind} ${text ?? ""}`));
}

const STEPS = {
  received: "received",
  sent: "sent to the mount",
  ack: "acknowledged",
  done: "done",
  noack: "refused by the mount",
  local: "answered here",
};

// The fields of a message by name, its own before the common ones. A number is written as in the message, because JSON
// does not distinguish 10 from 10.0.
function named({ fields, is_command: isCommand, text, truncated }) {
  const names = Object.keys(fields);
  const written = (text ?? "").split(" | ");
  written.splice(isCommand ? 1 : 0, 1); // the code, which is the message's kind
  const told = (name, index) => {
    const value = fields[name];
    const asWritten = typeof value === "number" && !truncated && Number(written[index]) === value;
    return `${name}=${asWritten ? written[index] : Array.isArray(value) ? value.join(", ") : value}`;
  };
  const all = names.map((name, index) => [COMMON.has(name), told(name, index)]);
  return [...all.filter(([common]) => !common), ...all.filter(([common]) => common)]
    .map(([, words]) => words)
    .join(" ");
}
const COMMON = new Set(["sequence_id", "source", "timestamp"]);

// The cells of an entry's row: time, peer, kind, and the rest.
export function cells(entry) {
  const { peer, type, kind } = entry;
  if (type === "message") {
    const arrow = entry.direction === "from" ? "from" : "to";
    return [entry.time, `${arrow} ${peer}`, kind, entry.fields ? named(entry) : (entry.text ?? "")];
  }
  if (type === "step") {
    const named = STEPS[entry.step] ?? entry.step.replaceAll("_", " ");
    const step = entry.step === "sent" ? `${named} as #${entry.key}` : named; // the id in the mount's own line
    const text = entry.explanation ? `${step}: ${entry.explanation}` : step;
    return [entry.time, peer, `${entry.command} #${entry.sequence_id}`, text];
  }
  return [entry.time, peer ?? "", String(kind).replaceAll("_", " "), entry.detail ?? ""];
}
