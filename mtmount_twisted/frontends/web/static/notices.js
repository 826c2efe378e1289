// The notice: what is wrong and what to do, the worst first. There is always one.
//
// Pure: a view of shown.js in, a list out. A notice is {id, level, chip, title, body, act}: `body` is a list of lines,
// each a list of parts as in cells.js; `act` is {id, text, why, off, first, ...} or null; `of` is the number of causes.

import { refusing } from "./answers.js";
import { timeOfDay } from "./clock.js";
import { count, degrees, fixed, spanOf, signed, spoken, titled } from "./figures.js";
import { axisOf, interlocks, isOld, limitsOf, nearLimits, standsBy } from "./levels.js";

const b = (text) => ({ b: text });
const line = (...parts) => parts.filter((part) => part !== "");
const doThis = (...parts) => line(b("What to do:"), " ", ...parts);
const notice = (id, level, chip, title, body = [], act = null) => ({ id, level, chip, title, body, act, of: 1 });

// All notices, the worst first. The last one is the calm one, which counts for nothing.
export function notices(view) {
  const { state, live } = view;
  if (!live.is && view.at === null) return [notLive(view)];
  if (state === null) return [notice("calm", "calm", "", "Nothing is known yet")];
  const all = SOURCES.flatMap((source) => source(view)).sort((one, other) => RANK[one.level] - RANK[other.level]);
  return all.length ? all : [calm(view)];
}

// Words for notices that are not on display, by their ids: a thing that is counted, or one that is there or not.
const COUNTED = { alarm: "alarm", limit: "limit", interlock: "interlock", warning: "warning" };
const NAMED = { "link-down": "no link", telemetry: "old data", refusals: "refused commands", "no-events": "no events" };

// The notices that are not on display, in words; "" if there are none.
export function others([first, ...all]) {
  const rest = all.filter(({ level }) => level === "alarm" || level === "caution");
  const ids = [...new Set(rest.map(({ id }) => id))];
  return ids.map((id) => {
    if (!(id in COUNTED)) return NAMED[id];
    const number = rest.filter((each) => each.id === id).reduce((sum, { of }) => sum + of, 0);
    return count(number, first.id === id ? `more ${COUNTED[id]}` : COUNTED[id]);
  }).join(" · ");
}

function notLive({ live }) {
  const since = live.since === null ? "" : ` since ${timeOfDay(live.since)} UTC`;
  const said = line("This page does not hear from the daemon. What is shown may have changed; STOP may not reach the mount.");
  const what = doThis("in danger press an emergency stop button, or use the handheld (HHD).");
  const act = { id: "try-now", text: "Try now" };
  return notice("not-live", "alarm", "NOT LIVE", `NOT LIVE${since}: ${live.why}`, [said, what], act);
}

function standby({ node, holder }) {
  const title = holder ? `Standby of ${holder}` : "Standby: no bridge has the lease";
  const whose = holder ? ` Messages are those of ${holder}.` : "";
  const said = line(`This is ${node}, which does not command the mount. Nothing can be sent from here, `, b("STOP neither"), `.${whose}`);
  const what = doThis(holder ? `open the page of ${holder}.` : "wait a moment: a bridge takes over.");
  return notice("standby", "caution", "STANDBY", title, [said, what]);
}

function link({ state, summary }) {
  const { connected, since, address } = state.controller;
  if (connected) return [];
  if (standsBy(state)) return [standby(state.station)];
  const at = since ? ` since ${timeOfDay(since)} UTC` : "";
  const alive = summary?.connected && !summary.silent;
  const title = `The link to the mount is down${at}. ${alive ? "Telemetry still comes" : "Every value on this page is from then"}`;
  const said = line(`${address} is not connected; the daemon goes on trying. Nothing can be sent, `, b("STOP neither"), ".");
  const what = doThis("in danger press an emergency stop button, or use the handheld (HHD).");
  return [notice("link-down", "alarm", "NO LINK", title, [said, what])];
}

// An alarm's title in the words of the mount: "Azimuth 120: Critical AZCW Deviation Limit".
export function alarmTitle({ code, subsystem, what, description }) {
  const [origin, ...rest] = (what ?? "").split(": ");
  const name = rest.join(": ") || description || "";
  const from = origin || (subsystem ? spoken(subsystem) : "");
  return `${titled(from)} ${code}${name ? `: ${name}` : ""}`.trim();
}

function advice({ remedy }) {
  if (remedy === undefined) return [];
  return [remedy ? line(b("Vendor’s advice:"), ` ${remedy}`) : line("The vendor gives no remedy.")];
}

function about(alarm, now) {
  const states = [alarm.active ? "Active" : "No longer present", alarm.latched && "latched"].filter(Boolean).join(" and ");
  const lasts = spanOf((now - Date.parse(alarm.time)) / 1000);
  const [, ...rest] = (alarm.what ?? "").split(": ");
  const more = rest.length && alarm.description ? `: ${alarm.description}` : "";
  return line(`${states} for ${lasts}${more}.`);
}

// The command that resets the alarms of a subsystem: AZIMUTH_CABLE_WRAP -> AzimuthCableWrapResetAlarm.
export const resetOf = (subsystem) =>
  `${subsystem.split("_").map((part) => titled(part.toLowerCase())).join("")}ResetAlarm`;

function reset({ active, latched, subsystem }, { you }) {
  if (!latched || !subsystem) return null;
  const may = you.has_command;
  const why = active ? "once it is not active" : may ? "" : "needs command";
  return { id: "reset", text: `Reset the ${spoken(subsystem)} alarm`, why, off: active || !may, command: resetOf(subsystem) };
}

function alarms({ state, now }) {
  const rank = ({ active, latched }) => (active ? 2 : 0) + (latched ? 1 : 0);
  return [...state.errors]
    .sort((one, other) => rank(other) - rank(one))
    .map((error) => notice("alarm", "alarm", "ALARM", alarmTitle(error), [about(error, now), ...advice(error)], reset(error, state)));
}

// The same place on the sky a turn away, if the axis may go there.
export function unwrapped(view, { direction }) {
  const axis = axisOf(view, "azimuth");
  if (axis === null || axis.limit_low === null || axis.limit_high === null) return null;
  const there = axis.position + (direction === "+" ? -360 : 360);
  return there > axis.limit_low && there < axis.limit_high ? there : null;
}

const AXES = { azimuth: "Azimuth", elevation: "Elevation", cameraCableWrap: "The camera cable wrap" };
const WRAPS = new Set(["wrap", "unwrap", "software"]);

const isAt = ({ seconds }) => seconds === 0;

// Whether the axis of a limit stands still in fault.
const broken = ({ summary, state }, { axis }) =>
  summary?.motion?.word === "Fault" || state.devices?.[axis]?.power?.value === "FAULT";

function reached(limit, inFault) {
  const { axis, kind, limit: place, seconds } = limit;
  const which = axis === "azimuth" ? "cable wrap limit" : "limit";
  const sign = axis !== "elevation" && place > 0 ? "+" : "";
  const at = `${which} ${sign}${fixed(place, Number.isInteger(place) ? 0 : 1)}°`;
  if (isAt(limit)) return `${AXES[axis] ?? axis} is at its ${at}${inFault ? ", in fault" : ""}`;
  if (kind === "sets") return `The target sets in ${spanOf(seconds)}`;
  if (kind === "zenith") return `The target reaches the zenith limit ${degrees(place, 1)} in ${spanOf(seconds)}`;
  return `${AXES[axis] ?? axis} reaches its ${at} in ${spanOf(seconds)}`;
}

function near(level) {
  return (view) =>
    nearLimits(view, level).map((limit) => {
      const time = timeOfDay(view.now + limit.seconds * 1000).slice(0, level === "alarm" ? 8 : 5);
      const there = limit.axis === "azimuth" && WRAPS.has(limit.kind) ? unwrapped(view, limit) : null;
      const act = level === "alarm" && there !== null ? unwrap(view, there) : null;
      const inFault = broken(view, limit);
      const title = `${reached(limit, inFault)}${isAt(limit) ? "" : `, at ${time}`}`;
      return notice("limit", level, "LIMIT", title, [isAt(limit) ? away(limit, there, inFault) : todo(level, limit, there)], act);
    });
}

// What to do at a limit.
function away({ kind }, there, inFault) {
  const first = inFault ? "reset the fault; then " : "";
  if (there !== null) return doThis(`${first}unwrap: the same place on the sky is at azimuth `, ...otherWay(there));
  if (kind === "sets" || kind === "zenith") return doThis(`${first}choose another target.`);
  return doThis(`${first}move away from the limit.`);
}

const otherWay = (there) => [b(`${signed(there, 2)}°`), ": 360° the other way."];

function todo(level, { kind }, there) {
  if (there !== null) {
    if (level === "alarm") return doThis("unwrap before then. The same place on the sky is at azimuth ", ...otherWay(there));
    return doThis("tell the scheduler, or plan an unwrap: the same place on the sky is at azimuth ", ...otherWay(there));
  }
  if (kind === "sets" || kind === "zenith") return doThis("plan another target.");
  return doThis(level === "alarm" ? "stop, or choose another target before then." : "tell the scheduler.");
}

function unwrap(view, there) {
  const elevation = axisOf(view, "elevation")?.position ?? null;
  const may = view.state.you.roles.includes("command");
  return {
    id: "unwrap",
    first: true,
    text: "Prepare the unwrap …",
    why: may ? "fills in the command, sends nothing" : "you may not command",
    off: !may || elevation === null,
    azimuth: there,
    elevation,
  };
}

function telemetry({ summary, state }) {
  if (isOld({ state }) || !summary || !state.controller.connected) return [];
  if (summary.available === false) {
    const title = "The daemon does not read this mount’s telemetry: positions are not known";
    return [notice("telemetry", "info", "NO DATA", title, [line(titled(summary.why || "no reason is given"), ".")])];
  }
  if (summary.connected && !summary.silent) return [];
  const title = `Telemetry is ${summary.connected ? "silent" : "not connected"}: positions are old`;
  const said = line("Commands and STOP are not affected. ", summary.why ? `${titled(summary.why)}.` : "");
  return [notice("telemetry", "caution", "OLD DATA", title, [said])];
}

function locked(view) {
  const found = view.state.controller.connected ? (interlocks(view) ?? []) : [];
  if (found.length === 0) return [];
  const [first, ...rest] = found;
  const title = `Interlock: ${first}`;
  const more = rest.length ? [line(`Also: ${rest.join("; ")}.`)] : [];
  const body = [...more, doThis("remove the cause; then reset the safety system.")];
  return [{ ...notice("interlock", "caution", "INTERLOCK", title, body), of: found.length }];
}

function refused(view) {
  const found = view.at === null && view.state.controller.connected ? refusing(view, view.clock) : null;
  if (found === null) return [];
  const title = `The mount refuses ${count(found.rate, "command")} a second`;
  return [notice("refusals", "caution", "REFUSED", title, [[{ id: "refusal", text: found.why }]])];
}

function noEvents({ live: { events }, at }) {
  if (!events || at !== null) return [];
  const said = line(`${events}. The state is read every 2 s; no messages are added below.`);
  return [notice("no-events", "caution", "NO EVENTS", "NO EVENTS in this tab: it shows less", [said])];
}

function warnings({ state, now }) {
  return state.warnings.map((warning) =>
    notice("warning", "caution", "WARNING", alarmTitle(warning), [about(warning, now), ...advice(warning)]),
  );
}

function old({ state }) {
  if (!isOld({ state })) return [];
  const said = line("Shown is what it does say: in position or not, warnings and errors, its answers. ", "Targets are those of the commands that passed here.");
  return [notice("old", "info", "2020", "This mount speaks the 2020 protocol, which has no positions", [said])];
}

function calm(view) {
  const { now } = view;
  const next = limitsOf(view).filter(({ seconds }) => seconds !== null).sort((one, other) => one.seconds - other.seconds)[0];
  if (!next) return notice("calm", "calm", "", "Nothing to do");
  const at = timeOfDay(now + next.seconds * 1000).slice(0, 5);
  const name = next.name.charAt(0).toLowerCase() + next.name.slice(1);
  return notice("calm", "calm", "", "Nothing to do", [line(`Next limit: ${name} in `, b(spanOf(next.seconds)), { wide: `, at ${at}` })]);
}

const RANK = { alarm: 0, caution: 1, info: 2 };

// Of one level, the worst first.
const SOURCES = [link, alarms, near("alarm"), telemetry, locked, near("caution"), refused, noEvents, warnings, old];
