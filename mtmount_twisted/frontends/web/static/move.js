// Move the mount: both axes to a position, tracking, homing, covers, and steps by hand.
//
// It touches its own panel, reads the store and sends by commands.js. It commands the real mount, so it reads the store
// and not the moment shown; it is off while the page shows the past. A button with "…" fills in a form and sends
// nothing. `moveFaults`, `checked`, `whyOff`, `whyUnchecked` and `jogTarget` are pure.

import { ApiError, checkCommand } from "./api.js";
import { fate } from "./commands.js";
import { byId, make, show, write } from "./dom.js";
import { degrees, fixed, spoken, titled } from "./figures.js";
import { axisOf, isOld, isSlewing, isTracking, standsBy } from "./levels.js";
import { fieldsOf, read, words } from "./schema.js";

const ONCE = 500; // ms in which the same command with the same values is sent once
const MOVE = "BothAxesMove";
const STEPS = [["1″", 1 / 3600], ["10″", 10 / 3600], ["1′", 1 / 60], ["0.1°", 0.1], ["1°", 1]]; // deg
const DEFAULT_STEP = "0.1°";
// The command that moves one axis, in both protocols.
const MOVERS = { azimuth: ["AzimuthMove", "AzimuthAxisMove"], elevation: ["ElevationMove", "ElevationAxisMove"] };
const PAD = [
  null,
  ["elevation", 1, "▲", "elevation up"],
  null,
  ["azimuth", -1, "◀", "azimuth down"],
  "step",
  ["azimuth", 1, "▶", "azimuth up"],
  null,
  ["elevation", -1, "▼", "elevation down"],
  null,
];
// Each button: its text, the commands of which the first known one is meant, and the values that are sent at once.
const ACTIONS = [
  ["Tracking on", ["BothAxesEnableTracking"], {}],
  ["Tracking off", ["BothAxesStop"], {}], // a stop ends tracking, in both protocols
  ["Home …", ["BothAxesHome", "AzimuthAxisHome"], null],
  ["Park …", [MOVE], "park"],
  ["Covers …", ["MirrorCoverSystemRetract", "MirrorCoversOpen", "MirrorCoversPower"], "mirror cover"],
];

// prepare(command, find): choose a command in the form of all commands. showTab(id): show a tab.
export function move(store, shown, commands, { prepare, showTab }) {
  const inputs = { azimuth: byId("move-azimuth"), elevation: byId("move-elevation") };
  const status = byId("move-status");
  const steps = makeSteps(byId("jog-steps"));
  const buttons = [];
  let asked = null; // the latest command sent: {key, at}
  let mark = null;

  const view = () => ({ ...shown.view(), at: null, state: store.state, summary: store.summary, values: store.values });

  function tell(text, bad = false) {
    status.classList.toggle("bad", bad);
    write(status, text);
  }

  async function send(name, parameters) {
    const key = JSON.stringify([name, parameters]);
    const at = performance.now();
    if (asked?.key === key && at - asked.at < ONCE) return; // a double press: the command was sent
    asked = { key, at };
    mark = null;
    tell(`${words(name)}: sending`);
    try {
      const life = await commands.send(name, parameters);
      mark = life.mark;
      follow(life);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(`Not sent: ${[error.message, ...error.faults.map(({ where, why }) => `${where}: ${why}`)].join("; ")}.`, true);
    }
  }

  function follow(life) {
    if (life.mark !== mark) return;
    const { text, ended, good } = fate(life);
    tell(`${words(life.command)}: ${text}${life.explanation ? ` (${life.explanation})` : ""}`, ended && !good);
  }

  // The typed position, or null after its faults are shown.
  function typed() {
    const command = store.catalogue?.[MOVE];
    if (command === undefined) return null;
    const { values, faults } = moveFaults(command, { azimuth: inputs.azimuth.value, elevation: inputs.elevation.value });
    for (const [name, input] of Object.entries(inputs)) input.setAttribute("aria-invalid", String(name in faults));
    const [first] = Object.keys(faults);
    if (first === undefined) return values;
    inputs[first].focus();
    tell(`Not sent: ${Object.entries(faults).map(([name, why]) => `${name}: ${why}`).join(" ")}`, true);
    return null;
  }

  async function check() {
    const values = typed();
    if (values === null) return;
    tell("waiting for the daemon");
    try {
      const found = await checkCommand(MOVE, values);
      tell(`${checked(found)} Nothing was sent.`, found.verdict === "would_be_refused");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(`Not checked: ${error.message}.`, true);
    }
  }

  function fillIn(values, text) {
    showTab("tab-move");
    for (const [name, input] of Object.entries(inputs)) {
      input.value = fixed(values[name], 3).replace("\u2212", "-");
      input.setAttribute("aria-invalid", "false");
    }
    tell(text);
    byId("move-panel").scrollIntoView();
    byId(byId("move-send").disabled ? "move-check" : "move-send").focus();
  }

  // Near the zenith. The protocol has no command and no place for it, so the values are a proposal.
  function park() {
    const { limit_high: high } = axisOf(view(), "elevation") ?? {};
    const elevation = Math.floor(Math.min(high ?? 80, 90));
    fillIn({ azimuth: 0, elevation }, `Filled in: azimuth 0°, elevation ${elevation}°. Change it if you park elsewhere, then press Send move.`);
  }

  function act([, names, how]) {
    const name = names.find((one) => one in (store.catalogue ?? {}));
    if (name === undefined) return;
    if (how === "park") return park();
    if (how !== null && typeof how === "object") return send(name, how);
    showTab("tab-commands");
    prepare(name, how ?? "");
  }

  function jog(axis, sign) {
    const name = MOVERS[axis].find((one) => one in (store.catalogue ?? {}));
    const position = name && jogTarget(axisOf(view(), axis), sign * steps.value());
    if (typeof position === "number") send(name, { position });
  }

  for (const action of ACTIONS) {
    const button = make("button", { type: "button", click: () => act(action) }, action[0]);
    buttons.push({ button, off: () => !action[1].some((one) => one in (store.catalogue ?? {})) });
    byId("move-actions").append(button);
  }
  for (const place of PAD) {
    if (!Array.isArray(place)) {
      byId("jog").append(make("span", { id: place === "step" ? "jog-step" : null }, place === "step" ? DEFAULT_STEP : ""));
      continue;
    }
    const [axis, sign, arrow, name] = place;
    const button = make("button", { type: "button", "aria-label": name, click: () => jog(axis, sign) }, arrow);
    const moving = () => isTracking(view()) || isSlewing(view());
    buttons.push({ button, off: () => axisOf(view(), axis) === null || moving() });
    byId("jog").append(button);
  }
  const noMove = () => !(MOVE in (store.catalogue ?? {}));
  buttons.push({ button: byId("move-send"), off: noMove }, { button: byId("move-check"), off: noMove, checks: true });

  function permit() {
    if (store.state === null) return;
    const [why, whyNot] = [whyOff, whyUnchecked].map((reason) => reason({ ...view(), at: shown.at }));
    write(byId("move-why"), why && !whyNot ? `${why} Check works.` : why);
    for (const { button, off, checks } of buttons) {
      const is = (checks ? whyNot : why) !== "" || off();
      if (button.disabled !== is) button.disabled = is;
    }
    for (const input of Object.values(inputs)) input.disabled = whyNot !== "";
    show(byId("jog-panel"), !isOld(store));
  }

  byId("move-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (byId("move-send").disabled) return;
    const values = typed();
    if (values !== null) send(MOVE, values);
  });
  byId("move-form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault(); // only a button sends
  });
  byId("move-check").addEventListener("click", check);
  store.on("lives", follow);
  store.on("state live summary moment catalogue", permit);
  permit();
  return { fillIn };
}

function makeSteps(fieldset) {
  for (const [text] of STEPS) {
    const input = make("input", { type: "radio", name: "jog-step", value: text, checked: text === DEFAULT_STEP });
    fieldset.append(make("label", { class: "choice" }, input, text));
  }
  const chosen = () => fieldset.querySelector("input:checked")?.value ?? DEFAULT_STEP;
  fieldset.addEventListener("change", () => write(byId("jog-step"), chosen()));
  return { value: () => STEPS.find(([text]) => text === chosen())[1] };
}

// Why nothing can be checked; "" if it can. A check needs neither command nor a link: the daemon says what would happen.
export function whyUnchecked({ live, at, state }) {
  if (at !== null) return "Off: this is a recording.";
  if (!live.is) return "Off: the page is not live.";
  return state.you.roles.includes("command") ? "" : "Off: you may not command.";
}

// Why nothing can be moved; "" if it can.
export function whyOff(view) {
  const { controller, you } = view.state;
  const why = whyUnchecked(view);
  if (why) return why;
  if (standsBy(view.state)) return "Off: this bridge stands by.";
  if (!controller.connected) return "Off: no link to the mount.";
  return you.has_command ? "" : "Off until you have command.";
}

// The values of a typed position, and what is wrong with them, by name.
export function moveFaults(command, typed) {
  const [values, faults] = [{}, {}];
  for (const field of fieldsOf(command).filter(({ name }) => name in typed)) {
    const { value, fault } = read(field, typed[field.name]);
    if (fault) faults[field.name] = fault;
    else values[field.name] = value;
  }
  return { values, faults };
}

// What a check found, in words.
export function checked({ verdict, reasons, unknown, targets, limits }) {
  const ways = targets.map(({ axis, position, distance, seconds }) => {
    const far = distance === null ? "" : `, ${degrees(Math.abs(distance), 1)} to go`;
    return `${spoken(axis)} ${degrees(position)}${far}${seconds === null ? "" : ` in ${Math.ceil(seconds)} s`}`;
  });
  const parts = [titled(spoken(verdict)), ...reasons, ...limits, ...unknown.map((what) => `unknown: ${what}`), ...ways];
  return `${parts.join("; ")}.`;
}

// Where a step leads: from the position that was asked for, so that two quick presses are two steps.
export function jogTarget(axis, step) {
  if (axis === null || axis.stale) return null;
  const from = axis.demand !== null && Math.abs(axis.demand - axis.position) < 2 ? axis.demand : axis.position;
  return Math.round((from + step) * 1e7) / 1e7;
}
