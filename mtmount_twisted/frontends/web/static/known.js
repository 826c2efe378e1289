// What a mount of the old protocol tells, which has no positions: of each axis whether it is in position, and what was
// asked for last; and the state of the mount.
//
// It touches these two parts and reads the moment shown. `knownRows` and `stateRows` are pure.

import { since, timeOfDay } from "./clock.js";
import { byId, fill, make } from "./dom.js";
import { drawn } from "./devices.js";
import { count, degrees, spanOf } from "./figures.js";
import { apart, isOld } from "./levels.js";
import { seldom } from "./pace.js";

export function known(store, shown) {
  const draw = seldom(() => {
    const view = shown.view();
    if (view.state === null || !isOld(view)) return;
    const rows = knownRows(view);
    fill(byId("known"), JSON.stringify(rows), () => [table(rows)]);
    const state = stateRows(view);
    fill(byId("axes"), JSON.stringify(state), () => state.flatMap(drawn));
  });
  store.on("shown entry", draw);
}

const AXES = [["azimuth", "Azimuth"], ["elevation", "Elevation"]];

export function knownRows(view) {
  return AXES.map(([axis, name]) => {
    const told = view.state.axes[axis];
    const asked = view.asked?.[axis];
    const is = told?.in_position ?? null;
    return {
      name,
      is: is === null ? "not told" : is ? "✓ yes" : "no",
      since: is === null ? "" : timeOfDay(told.time),
      asked: asked ? `${degrees(asked.value)}, ${asked.how}` : "",
      by: asked?.by ?? "",
      stale: Boolean(told?.stale) || apart(view) !== "",
    };
  });
}

const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);

function table(rows) {
  const head = ["Axis", "In position", "Since", "Last asked for", "By"].map((text) => heading(text, text === "Since" ? "hide-s" : null));
  const lines = rows.map(({ name, is, since, asked, by, stale }) =>
    make(
      "tr",
      { class: stale ? "old-value" : null },
      make("td", {}, name),
      make("td", {}, is),
      make("td", { class: "hide-s" }, since),
      make("td", {}, asked),
      make("td", { class: "long" }, by),
    ),
  );
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines));
}

const upOrDown = (is) => (is ? "up" : "DOWN");

export function stateRows(view) {
  const { dialect, mount, controller, errors, warnings } = view.state;
  const gone = apart(view) === "page";
  const row = (name, text, more = {}) => ({ name, text, level: "", stale: gone, ...more });
  const told = mount.description === null ? [] : [row("Said", `${timeOfDay(mount.time)}, ${since(mount.time)} ago`, { stale: gone || mount.stale })];
  const lasts = controller.since ? `${controller.connected ? "up" : "down"} for ${spanOf((view.now - Date.parse(controller.since)) / 1000)}` : "";
  return [
    row("Protocol", dialect),
    row("State", mount.description ?? "not reported yet", { stale: gone || mount.stale }),
    ...told,
    row("Link", `commands ${upOrDown(controller.command_connection)}, replies ${upOrDown(controller.reply_connection)}`),
    row("Epoch", [controller.epoch, lasts].filter((part) => part !== "").join(", ")),
    row("Errors", errors.length ? count(errors.length, "error") : "none", { level: errors.length ? "alarm" : "" }),
    row("Warnings", warnings.length ? count(warnings.length, "warning") : "none", { level: warnings.length ? "caution" : "" }),
  ];
}
