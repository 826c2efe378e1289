// The five facts beside each drawing: always five, always in the same places.
//
// Pure: a view of shown.js in, rows out. A row is {name, text, small, level, stale}; or with {parts} in place of the text, of
// which those of the level are {b}.

import { covers, partsOf } from "./devices.js";
import { degrees, fixed, signed } from "./figures.js";
import { apart, axisOf, isSlewing, levelAt, worst } from "./levels.js";

const NONE = "not told";
const NEAR = 3; // deg to a limit below which a distance is marked

export function axisFacts(view, name) {
  const axis = axisOf(view, name);
  const stale = axis === null || axis.stale;
  const rest = name === "azimuth" ? [wrap(view), cover(view)] : [airmass(view), pins(view)];
  const first = axis === null ? [blank("Error"), blank("Rate"), blank("To both limits")] : [aim(view, axis), rate(axis), ends(view, name, axis)];
  return [...first.map((row) => ({ ...row, stale })), ...rest];
}

const row = (name, text, small = "", level = "") => ({ name, text, small, level, stale: false });
const blank = (name) => row(name, NONE);

function aim(view, { position, demand, target, error_sky: error }) {
  if (isSlewing(view) && demand !== null) {
    return row("To go", degrees(Math.abs(target - position), 1), `to ${degrees(target, 1)}`);
  }
  if (error === null || error === undefined) return row("Error", "none", demand === null ? "no target" : "");
  return row("Error on the sky", `${signed(error, 3)}″`);
}

function rate({ velocity }) {
  if (velocity === null) return blank("Rate");
  return row("Rate", `${fixed(velocity, Math.abs(velocity) > 0.1 ? 2 : 4)} °/s`);
}

const end = (limit) => `${limit > 0 && limit > 90 ? "+" : ""}${fixed(limit, Number.isInteger(limit) ? 0 : 1)}°`;

function ends(view, name, { position, limit_low: low, limit_high: high }) {
  if (low === null || low === undefined || high === null) return blank("To both limits");
  const far = (distance, direction) => {
    const text = degrees(distance, 1);
    return distance < NEAR && levelAt(view, name, direction) ? { b: text } : text;
  };
  const [below, above] = [far(position - low, "-"), far(high - position, "+")];
  const level = [below, above].some((one) => one.b) ? worst([levelAt(view, name, "-"), levelAt(view, name, "+")]) : "";
  return { ...row(`To ${end(low)} · ${end(high)}`, "", "", level), parts: [below, " · ", above] };
}

function wrap({ state, ...view }) {
  const device = state?.devices?.azimuth_cable_wrap;
  const power = device?.power;
  if (!power) return blank("Cable wrap");
  const stale = power.stale || apart({ state, ...view }) === "page";
  const drives = partsOf(device);
  const small = drives.length ? `${drives.filter((part) => part === "ON").length} of ${drives.length} drives` : "";
  const word = { ON: "follows", OFF: "off", FAULT: "fault" }[power.value] ?? power.value.toLowerCase().replaceAll("_", " ");
  return { ...row("Cable wrap", word, power.value === "FAULT" ? "" : small, power.value === "FAULT" ? "alarm" : ""), stale };
}

function cover(view) {
  const { all, stale } = covers(view);
  if (all.length === 0) return blank("Mirror covers");
  const word = all.includes("moving") ? "moving" : all.every((one) => one === all[0]) ? all[0] : "mixed";
  const open = all.filter((one) => one === "open").length;
  const counted = word === "closed" ? all.length : open;
  return { ...row("Mirror covers", word, `${counted} of ${all.length}${word === "moving" || word === "mixed" ? " open" : ""}`), stale };
}

function airmass(view) {
  const sky = view.summary?.sky;
  if (!sky) return blank("Airmass");
  const stale = axisOf(view, "elevation")?.stale ?? true;
  return { ...row("Airmass", sky.airmass === null ? "below the horizon" : sky.airmass.toFixed(2)), stale };
}

function pins({ state, ...view }) {
  const device = state?.devices?.locking_pins;
  const motion = device?.motion;
  if (!motion) return blank("Locking pins");
  const parts = device.parts_motion?.value ?? [];
  const small = parts.length ? `${parts.filter((part) => part === motion.value).length} of ${parts.length}` : "";
  const level = motion.value === "MISMATCH" ? "caution" : "";
  return { ...row("Locking pins", motion.value.toLowerCase(), small, level), stale: motion.stale || apart({ state, ...view }) === "page" };
}
