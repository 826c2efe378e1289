// The words of the six cells at the top: Safety, Motion, Azimuth, Elevation, In command, Mount answers.
//
// Pure: a view of shown.js in, words out. A cell is {name, figure, sub, mood, soft, stale}: `sub` is a list of parts, of
// which {b} is stronger and {unseen} is only for screen readers; `mood` is "", "caution", "alarm" or "fault"; a `soft`
// figure is small. No cell says that the mount is safe: the page knows alarms, interlocks and limits only.

import { answers, refusing } from "./answers.js";
import { roughly, timeOfDay } from "./clock.js";
import { count, degrees, spanOf, signed, titled } from "./figures.js";
import { apart, axisOf, interlocks, isOld, isSlewing, isTracking, lastHeard, levelAt, nearLimits, worst } from "./levels.js";

const NAMES = { azimuth: "Azimuth", elevation: "Elevation" };
const SETTLED = 15; // s: the window of the RMS
const NO_TARGET = new Set(["Stopped", "Off", "Fault", "Not homed"]);

export function cells(view) {
  if (view.state === null) return UNKNOWN;
  return {
    safety: safety(view),
    motion: motion(view),
    azimuth: place(view, "azimuth"),
    elevation: place(view, "elevation"),
    command: command(view),
    mount: mount(view),
  };
}

const cell = (name, figure, sub = [], more = {}) => ({ name, figure, sub, mood: "", soft: false, stale: false, ...more });

const UNKNOWN = {
  safety: cell("Safety", "unknown"),
  motion: cell("Motion", "unknown"),
  azimuth: cell("Azimuth", "unknown", [], { soft: true }),
  elevation: cell("Elevation", "unknown", [], { soft: true }),
  command: cell("In command", "unknown"),
  mount: cell("Mount", "unknown"),
};

const b = (text) => ({ b: text });
const joined = (parts) => parts.filter(Boolean).join(" · ");

// The label of a value that is not of now.
const then = (view, name) => (apart(view) ? `${name}, then` : name);

// When the mount was heard last, in words.
function when(view) {
  const heard = lastHeard(view);
  if (heard === null) return "";
  return apart(view) === "link" ? `${roughly(view.now - heard)} ago` : `at ${timeOfDay(heard)}`;
}

// Safety

export function safety(view) {
  const { errors, warnings } = view.state;
  const warned = warnings.length ? count(warnings.length, "warning") : "";
  const why = apart(view);
  if (why === "page" || why === "link") {
    const known = errors.length ? count(errors.length, "alarm") : "no alarm";
    const heard = lastHeard(view);
    return cell("Safety", "Not known", [heard === null ? known : `${known} at ${timeOfDay(heard)}`], { mood: "caution" });
  }
  const name = then(view, "Safety");
  if (view.state.alarms_unknown && !errors.length) return cell(name, "not told", ["not all alarms are read"], { soft: true });
  if (errors.length) {
    const latched = errors.some((error) => error.latched);
    const sub = [latched && b("latched"), latched && warned && " · ", warned].filter(Boolean);
    return cell(name, count(errors.length, "alarm"), sub, { mood: "alarm" });
  }
  const locks = interlocks(view);
  const near = nearLimits(view, "alarm");
  const rest = joined([locks?.length ? count(locks.length, "interlock") : "no alarm", warned || "no warning"]);
  if (near.length) {
    const there = near.some(({ seconds }) => seconds === 0);
    return cell(name, there ? "At a limit" : `${count(near.length, "limit")} near`, [rest], { mood: "alarm" });
  }
  if (locks?.length) {
    const first = locks.length === 1 ? locks[0] : `no alarm${warned && ` · ${warned}`}`;
    return cell(name, count(locks.length, "interlock"), [first], { mood: "caution" });
  }
  const soon = nearLimits(view, "caution");
  const none = locks === null ? "no alarm" : "no alarm, no interlock";
  if (soon.length) return cell(name, `${count(soon.length, "limit")} soon`, [joined([none, warned])], { mood: "caution" });
  if (warned) return cell(name, warned, [none], { mood: "caution" });
  return cell(name, "No alarms", [locks === null ? "interlocks are not told" : "no interlock, no warning"]);
}

// Motion

const MOODS = { Fault: "alarm" };

export function motion(view) {
  if (isOld(view)) return inPosition(view);
  const known = view.summary?.motion;
  const why = apart(view);
  const name = then(view, "Motion");
  if (!known) return cell(name, "not told", [view.summary?.why ?? ""], { soft: true });
  if (why === "page" || why === "link") return cell(name, known.word, [when(view)], { stale: true });
  return cell(name, known.word, moving(view, known), { mood: MOODS[known.word] ?? "" });
}

function moving(view, { word, detail, since, seconds }) {
  const lasts = since ? spanOf((view.now - Date.parse(since)) / 1000) : "";
  if (seconds !== null && seconds !== undefined && isSlewing(view)) {
    return [word === "Slewing" ? "on target in " : "in ", b(`${Math.max(1, Math.ceil(seconds))} s`)];
  }
  if (detail) return [detail];
  if (word === "Tracking") return lasts ? ["on target for ", b(lasts)] : ["settling"];
  return lasts ? ["for ", b(lasts)] : [];
}

// A mount of the old protocol says of each axis only whether it is in position.
function inPosition(view) {
  const { azimuth, elevation } = view.state.axes;
  const told = [["azimuth", azimuth], ["elevation", elevation]].filter(([, axis]) => axis && axis.in_position !== null);
  const name = then(view, "Motion");
  const stale = apart(view) !== "" && view.at === null;
  if (told.length === 0) return cell(name, "not told", ["no axis has moved yet"], { soft: true });
  const out = told.filter(([, axis]) => !axis.in_position).map(([axis]) => axis);
  const times = told.map(([, axis]) => Date.parse(axis.time ?? "")).filter(Number.isFinite);
  const lasts = `for ${spanOf((view.now - Math.max(...times)) / 1000)}`;
  if (stale) return cell(name, out.length ? "Not in position" : "In position", [when(view)], { stale });
  const both = told.length === 2 ? "both axes" : told[0][0];
  if (out.length === 0) return cell(name, "In position", [times.length ? `${both}, ${lasts}` : both]);
  return cell(name, "Not in position", [out.length === 2 ? `both axes, ${lasts}` : out.join()]);
}

// Azimuth and elevation

export function place(view, axis) {
  const name = NAMES[axis];
  const known = axisOf(view, axis);
  if (known === null) return cell(name, "not told", asked(view, axis), { soft: true });
  const fault = faulty(view, axis);
  const level = worst([levelAt(view, axis, "+"), levelAt(view, axis, "-")]);
  const figure = { number: known.position };
  if (known.stale) return cell(name, figure, [old(view, known)], { stale: true });
  const mood = fault ? "fault" : level === "info" ? "" : level;
  return cell(fault ? `${name}: fault` : name, figure, aim(view, known), { mood });
}

// When a mount tells no position: the last one that was asked for.
function asked(view, axis) {
  const last = view.asked?.[axis];
  if (!last) return [isOld(view) ? "" : (view.summary?.why ?? "")].filter(Boolean);
  const ago = `, ${roughly(view.now - Date.parse(last.time))} ago`;
  return ["asked: ", b(degrees(last.value)), ago];
}

function old(view, { age }) {
  const heard = apart(view) === "page" ? lastHeard(view) : null;
  return heard === null ? `${roughly(age * 1000)} old` : `at ${timeOfDay(heard)}`;
}

const faulty = (view, axis) => view.state.devices?.[axis]?.power?.value === "FAULT";

function aim(view, { demand, target: end, position, error_sky: error, rms, window }) {
  const word = view.summary?.motion?.word;
  if (demand === null || NO_TARGET.has(word)) return ["no target"];
  const target = [{ arrow: true }, b(degrees(isSlewing(view) ? end : demand))];
  if (isSlewing(view)) return [...target, ` · ${degrees(Math.abs(end - position), 1)} to go`];
  if (!isTracking(view)) return target;
  if (rms !== null && (window === undefined || window >= SETTLED / 2)) return [...target, ` · RMS ${rms.toFixed(3)}″`];
  return error === null ? target : [...target, ` · error ${signed(error, 2)}″`];
}

// In command

export function command(view) {
  const { lease, you } = view.state;
  const name = then(view, "In command");
  if (lease.unknown) return cell(name, "not recorded", [lease.unknown], { soft: true });
  const stale = apart(view) === "page";
  const mine = you.has_command && view.at === null;
  const figure = mine ? "You" : lease.holder === null ? "Nobody" : (lease.source ?? lease.holder);
  const asks = lease.requests.map(({ by }) => by).join(", ");
  const lasts = lease.since ? spanOf((view.now - Date.parse(lease.since)) / 1000) : "";
  const known = lease.holder === null ? "command is free" : joined([figure !== lease.holder && lease.holder, lasts]);
  const sub = asks ? [b(`asks: ${asks}`)] : [known];
  if (lease.holder_gone) return cell(name, figure, [b(`${lease.holder}: its connection is lost`)], { mood: "caution", stale });
  return cell(name, figure, sub, { stale, soft: figure === lease.holder, ask: !mine && view.at === null && you.roles.includes("command") });
}

// Mount answers

export function mount(view) {
  if (view.at !== null) return cell("Mount answered", "not told", [], { soft: true });
  const known = answers(view, view.now, view.clock);
  const refused = known.mood === "alarm" ? null : refusing(view, view.clock);
  if (refused) return cell("Mount refuses", `${refused.rate}/s`, ["commands, see below"], { mood: "caution" });
  const { name, figure, mood } = known;
  if (figure === "No link") {
    const since = Date.parse(view.state.controller.since ?? "");
    return cell(name, figure, Number.isFinite(since) ? ["for ", b(spanOf((view.now - since) / 1000))] : [], { mood });
  }
  return cell(name, figure, [known.sub || telemetry(view)], { mood, stale: apart(view) === "page" });
}

function telemetry({ state, summary, silent }) {
  if (summary === null || summary === undefined || summary.available === false) {
    const { command_connection: one, reply_connection: other } = state.controller;
    return isOld({ state }) && one && other ? "2 connections up" : "";
  }
  if (!summary.connected) return "no telemetry";
  if (summary.silent || silent > 3000) return "telemetry is silent";
  return summary.age === null || summary.age === undefined ? "" : `telemetry ${summary.age.toFixed(2)} s`;
}

// One sentence of what a screen reader announces: changes of Safety, Motion and the holder, never a clock.
export function announcement(view) {
  if (view.state === null) return "";
  if (!view.live.is && view.at === null) return "Not live: what is shown may have changed.";
  const { safety, motion, command } = cells(view);
  const { lease } = view.state;
  const asks = lease.requests.map(({ by }) => `${by} asks for it`);
  const who = command.figure === "You" ? "you have command" : lease.unknown ? "" : `${lease.holder ?? "nobody"} has command`;
  return titled(`${[safety.figure, motion.soft ? "" : motion.figure, who, ...asks].filter(Boolean).join(", ")}.`);
}
