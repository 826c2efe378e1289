// How bad something is: "" (calm), "info", "caution" or "alarm"; and what the page counts as current.
//
// Pure: values only. A view is what shown.js gives: the state, the summary and the figures of one moment.

import { isAngle, short } from "./figures.js";

const ORDER = ["", "info", "caution", "alarm"];
export const OLD = "tma2020"; // the protocol without positions
const AXIS_STALE = 1; // s: the mount sends 10 or 20 lines a second
const SILENT = 3000; // ms without a summary, which comes once a second

export const worst = (levels) => levels.reduce((one, other) => (ORDER.indexOf(other) > ORDER.indexOf(one) ? other : one), "");

// The level of a limit as the page names it.
export const levelOf = ({ level }) => (level === "calm" ? "" : level);

const AXES = { azimuth: "Azimuth", elevation: "Elevation", cameraCableWrap: "Camera cable wrap" };
const KINDS = { wrap: ", cable wrap", unwrap: ", cable wrap", sets: ", sets", zenith: ", zenith" };

// The limits, each with a name for a reader: "Azimuth −270°, cable wrap".
export const limitsOf = ({ summary }) => (summary?.limits ?? []).map((limit) => ({ ...limit, name: limitName(limit) }));

export function limitName({ name, axis, kind, limit }) {
  if (!AXES[axis] || typeof limit !== "number") return name;
  const sign = limit > 0 && axis !== "elevation" ? "+" : "";
  const why = axis === "cameraCableWrap" ? "" : (KINDS[kind] ?? "");
  return `${AXES[axis]} ${sign}${short(limit, 1)}°${why}`;
}

// Limits that are closer than they should be, nearest first.
export function nearLimits(view, level) {
  return limitsOf(view)
    .filter((limit) => levelOf(limit) === level)
    .sort((one, other) => (one.seconds ?? Infinity) - (other.seconds ?? Infinity));
}

// The level of one end of an axis.
export const levelAt = (view, axis, direction) =>
  worst(limitsOf(view).filter((one) => one.axis === axis && one.direction === direction).map(levelOf));

export const isOld = ({ state }) => state?.dialect === OLD;

// Whether another bridge commands the mount.
export const standsBy = ({ station }) => station?.state === "standby";

// Why what is shown may not be so now: "playback", "page" (no data from the daemon), "link" (none from the mount), or "".
export function apart({ live, at, state }) {
  if (at !== null) return "playback";
  if (!live.is) return "page";
  return state !== null && !state.controller.connected ? "link" : "";
}

// The time of the latest word of the mount, in ms since 1970, if the mount is not heard now; otherwise null.
export function lastHeard(view) {
  const why = apart(view);
  if (why === "page") return view.live.since;
  if (why === "link") return Date.parse(view.state.controller.since ?? "") || null;
  return null;
}

// The present interlocks by name, of a mount that reports them; otherwise null.
export const interlocks = ({ state }) => state?.devices?.safety_system?.causes?.value ?? null;

const NOTHING = { demand: null, error: null, error_sky: null, rms: null, greatest: null, torque: null, to_go: null };
const UNKNOWN = { in_position: null, on_target_since: null, seconds_to_go: null, limit_low: null, limit_high: null };

// One axis at the moment shown: the summary's, with the newest position; or the state's, if there is no summary. Null
// if no position is known. `target` is where it stops, while `demand` runs ahead of it; `age` is in s, and `stale` says
// that the values are not of now.
export function axisOf(view, name) {
  const known = view.summary?.axes?.[name];
  if (known && known.position !== null) {
    const live = view.values?.[`${name}.actualPosition`]; // as the mount sends it, which may be an impossible number
    const position = isAngle(live) ? live : known.position;
    const age = (known.age ?? 0) + (view.at === null ? view.silent / 1000 : 0);
    const stale = view.at === null && (!view.live.is || known.stale || view.silent > SILENT || age > AXIS_STALE + SILENT / 1000);
    const target = typeof known.to_go === "number" ? known.position + known.to_go : known.demand;
    return { ...known, position, target, age, stale };
  }
  const told = view.state?.axes?.[name === "cameraCableWrap" ? "camera_cable_wrap" : name];
  if (!told?.telemetry || told.telemetry.position === null) return null;
  const { position, demand_position: demand, velocity, age, time } = told.telemetry;
  const stale = told.telemetry.stale || !view.live.is;
  return { ...NOTHING, ...UNKNOWN, position, demand, target: demand, velocity, age, time, stale, in_position: told.in_position };
}

const GOING = new Set(["Slewing", "Moving", "Jogging"]);
export const isTracking = ({ summary }) => summary?.motion?.word === "Tracking";
export const isSlewing = ({ summary }) => GOING.has(summary?.motion?.word);
