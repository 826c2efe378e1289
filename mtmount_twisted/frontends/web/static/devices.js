// The devices at a glance: power, drives, motion, locks, oil, temperatures, interlocks; every stale value marked.
//
// `deviceRows` and `covers` are pure: a view of shown.js in, rows out. A row is {name, text, level, stale}. The rest
// touches its own list and reads the moment shown.

import { byId, fill, make, mark } from "./dom.js";
import { degrees, fixed, spoken } from "./figures.js";
import { apart, axisOf } from "./levels.js";
import { seldom } from "./pace.js";

export function devices(store, shown) {
  const list = byId("devices");
  const draw = seldom(() => {
    const rows = deviceRows(shown.view());
    fill(list, JSON.stringify(rows), () => rows.flatMap(drawn));
  });
  store.on("shown", draw);
}

// A row of a list: a name, and a value with the mark of its level.
export function drawn({ name, text, level, stale }) {
  const value = make("span", { class: stale ? "old-value" : null }, text);
  const sign = mark(level);
  return [
    make("dt", {}, name),
    make("dd", { class: level ? "off" : null, "data-level": level || null }, ...(sign ? [sign] : []), value, stale ? make("span", { class: "unseen" }, " (stale)") : null),
  ];
}

const POWER = { ON: "on", OFF: "off", FAULT: "FAULT", TURNING_ON: "turning on", TURNING_OFF: "turning off", UNKNOWN: "power unknown" };
const MOTION = { STOPPING: "stopping", STOPPED: "stopped", MOVING_POINT_TO_POINT: "moving", JOGGING: "jogging", TRACKING: "tracking", TRACKING_PAUSED: "tracking paused" };

export const partsOf = (device) => device?.parts_power?.value ?? [];

export function deviceRows(view) {
  const all = view.state?.devices ?? {};
  const gone = apart(view) === "page";
  if (view.at !== null && Object.keys(all).length === 0) {
    return [{ name: "Devices", text: "not told by the recording", level: "", stale: false }];
  }
  return ROWS.flatMap(([name, device, read]) => {
    const known = all[device] ?? {};
    const told = Object.values(known);
    if (told.length === 0) return [];
    const [text, level = ""] = read(known, view);
    return text === "" ? [] : [{ name, text, level, stale: gone || told.every(({ stale }) => stale) }];
  });
}

const listed = (parts) => parts.filter(Boolean).join(", ");
const bad = (power) => (power === "FAULT" ? "alarm" : "");

// Of azimuth and elevation: power, homed, motion, drives that are not on.
function axis({ power, homed, motion, drives, limits }) {
  const enabled = Array.isArray(drives?.value) ? drives.value : [];
  const on = enabled.filter((one) => one === true || one === "ON").length;
  const reached = (limits?.value ?? []).flat();
  const limit = reached.length ? `limit ${reached.join(" ")}` : "";
  const text = listed([
    POWER[power?.value],
    homed && (homed.value ? "homed" : "not homed"),
    MOTION[motion?.value],
    enabled.length > 0 && on < enabled.length && `${on} of ${enabled.length} drives`,
    limit,
  ]);
  return [text, bad(power?.value) || (limit ? "caution" : "")];
}

function wrap({ power, ...more }) {
  const parts = partsOf(more);
  const on = parts.filter((part) => part === "ON").length;
  const word = power?.value === "ON" ? "follows" : POWER[power?.value];
  return [listed([word, parts.length > 0 && `${on} of ${parts.length} drives`]), bad(power?.value)];
}

function camera({ power, motion }, view) {
  const place = axisOf(view, "cameraCableWrap");
  const word = motion?.value === "TRACKING" ? "follows" : (MOTION[motion?.value] ?? POWER[power?.value]);
  return [listed([power?.value === "FAULT" && "FAULT", word, place && degrees(place.position, 1)]), bad(power?.value)];
}

// Parts that are all alike in one word, otherwise how many are.
function parts(words) {
  return ({ motion, parts_motion: each, power }) => {
    const all = (Array.isArray(each?.value) && each.value.length ? each.value : motion ? [motion.value] : []).map((one) => words[one] ?? spoken(one));
    const fault = power?.value === "FAULT";
    if (all.length === 0) return [POWER[power?.value] ?? "", bad(power?.value)];
    const kinds = [...new Set(all)].map((word) => [word, all.filter((one) => one === word).length]);
    const text = kinds.map(([word, number]) => `${number} of ${all.length} ${word}`).slice(0, 2).join(", ");
    return [listed([fault && "FAULT", text]), fault ? "alarm" : all.includes("lost") || all.includes("mismatch") ? "caution" : ""];
  };
}

function supply({ power }, { values }) {
  const volts = values?.["mainPowerSupply.powerSupplyVoltage"];
  return [listed([POWER[power?.value], typeof volts === "number" && `${fixed(volts, 0)} V`]), bad(power?.value)];
}

function oil({ power, cooling, circulation_pump: circulation, main_pump: main }, { values }) {
  const warm = values?.["oilSupplySystem.oilTemperatureFacilities5001"];
  const off = [["cooling", cooling], ["circulation pump", circulation], ["main pump", main]].filter(([, part]) => part && part.value !== true && part.value !== "ON");
  const word = POWER[power?.value];
  const missing = power?.value === "ON" ? off.map(([name]) => `${name} off`) : [];
  return [listed([word, ...missing, typeof warm === "number" && `${fixed(warm, 1)} °C`]), bad(power?.value) || (missing.length ? "caution" : "")];
}

const thermal = (actual, wanted) => ({ power, setpoints }, { values }) => {
  const is = values?.[actual];
  const aim = values?.[wanted] ?? (Array.isArray(setpoints?.value) ? setpoints.value[0] : undefined);
  const warm = typeof is === "number" ? `${fixed(is, 1)} °C${typeof aim === "number" ? ` of ${fixed(aim, 1)}` : ""}` : "";
  return [warm && power?.value === "ON" ? warm : listed([POWER[power?.value], warm]), bad(power?.value)];
};

// What has no row of its own is named only if it is in fault.
const inFault = ({ power }) => (power?.value === "FAULT" ? ["FAULT", "alarm"] : [""]);

const COVER = { RETRACTED: "open", DEPLOYED: "closed", RETRACTING: "moving", DEPLOYING: "moving" };
const LOCK = { RETRACTED: "unlocked", DEPLOYED: "locked", RETRACTING: "moving", DEPLOYING: "moving" };

// The rows in their order. The safety system's first: what stops everything.
const ROWS = [
  ["Interlocks", "safety_system", ({ causes }) => (causes ? (causes.value.length ? [causes.value.join("; "), "caution"] : ["none"]) : [""])],
  ["Main power supply", "main_axes_power_supply", supply],
  ["Azimuth", "azimuth", axis],
  ["Elevation", "elevation", axis],
  ["Azimuth cable wrap", "azimuth_cable_wrap", wrap],
  ["Camera cable wrap", "camera_cable_wrap", camera],
  ["Mirror covers", "mirror_covers", parts(COVER)],
  ["Cover locks", "mirror_cover_locks", parts(LOCK)],
  ["Locking pins", "locking_pins", parts({})],
  ["Platforms", "deployable_platforms", parts({})],
  ["Oil supply", "oil_supply_system", oil],
  ["Top-end chiller", "top_end_chiller", thermal("topEndChiller.actualTemperatureAmbient", "topEndChiller.setpoint")],
  ["Main cabinet", "main_cabinet_thermal", thermal("mainCabinetThermal.mainCabinetInternalTemperature1", "mainCabinetThermal.setpointTemperature")],
  ["Balance", "balance", inFault],
  ["Azimuth drives, thermal", "azimuth_drives_thermal", inFault],
  ["Elevation drives, thermal", "elevation_drives_thermal", inFault],
  ["Cabinet 0101", "cabinet_0101_thermal", inFault],
  ["Auxiliary cabinets", "auxiliary_cabinets_thermal", inFault],
];

// The four mirror covers: "open", "closed" or "moving" each, for the drawing.
export function covers(view) {
  const device = view.state?.devices?.mirror_covers;
  const told = device?.parts_motion ?? device?.motion;
  if (!told) return { all: [], stale: true };
  const each = Array.isArray(told.value) ? told.value : [told.value, told.value, told.value, told.value];
  return { all: each.map((one) => COVER[one] ?? "moving"), stale: told.stale || apart(view) === "page" };
}
