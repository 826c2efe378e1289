// The columns of the two axes and the sky: a drawing with five facts beside it for each axis, the place on the sky, and
// the time to each limit.
//
// It touches these parts and reads the moment shown. `drawingOf` and `skyRows` are pure.

import { axisFacts } from "./axis_facts.js";
import { covers, drawn } from "./devices.js";
import { byId, fill, make, mark, phrase } from "./dom.js";
import { fromAbove, fromSide } from "./drawings.js";
import { arcMinutes, clockAngle, fixed, hourAngle } from "./figures.js";
import { apart, axisOf, isOld, isSlewing, isTracking, levelAt, limitsOf } from "./levels.js";
import { drawLimits } from "./limit_bars.js";
import { seldom } from "./pace.js";

export function axes(store, shown) {
  const main = byId("main");
  const draw = seldom(() => {
    const view = shown.view();
    main.dataset.mount = view.state === null ? "unknown" : isOld(view) ? "old" : "new";
    if (main.dataset.mount !== "new") return;
    for (const axis of ["azimuth", "elevation"]) facts(byId(`facts-${axis}`), axisFacts(view, axis));
    fromAbove(byId("above"), drawingOf(view, "azimuth"));
    fromSide(byId("side"), drawingOf(view, "elevation"));
    drawLimits(byId("limits"), limitsOf(view), apart(view) === "page" || (axisOf(view, "azimuth")?.stale ?? true));
    const rows = skyRows(view);
    fill(byId("sky"), JSON.stringify(rows), () => rows.flatMap(drawn));
  });
  store.on("shown", draw);
}

function facts(list, rows) {
  fill(list, JSON.stringify(rows), () =>
    rows.map(({ name, text, parts, small, level, stale }) =>
      make(
        "div",
        { class: stale ? "old-value" : null },
        make("dt", {}, name),
        make(
          "dd",
          { [parts ? "data-part-level" : "data-level"]: level || null },
          ...[mark(level === "alarm" && text === "fault" ? "alarm" : "")].filter(Boolean),
          make("span", {}, ...(parts ? phrase(parts) : [text])),
          small ? make("small", {}, ` ${small}`) : null,
          stale ? make("span", { class: "unseen" }, " (stale)") : null,
        ),
      ),
    ),
  );
}

// What a drawing shows of an axis.
export function drawingOf(view, name) {
  const { position, target: demand, limit_low: low, limit_high: high, stale } = axisOf(view, name) ?? UNKNOWN;
  return {
    ...{ position, demand, low, high, stale, covers: covers(view).all },
    tracking: isTracking(view) && !stale,
    slewing: isSlewing(view) && !stale,
    fault: view.state.devices?.[name]?.power?.value === "FAULT",
    level: { low: levelAt(view, name, "-") || "calm", high: levelAt(view, name, "+") || "calm" },
  };
}

const UNKNOWN = { position: null, target: null, limit_low: null, limit_high: null, stale: true };

const NAMES = ["Right ascension", "Declination", "Hour angle", "Airmass, parallactic"];

// The place on the sky, to 1 arcmin: from encoders, without a pointing model.
export function skyRows(view) {
  const sky = view.summary?.sky;
  if (!sky) return NAMES.map((name) => ({ name, text: "not told", level: "", stale: false }));
  const air = sky.airmass === null ? "below the horizon" : sky.airmass.toFixed(2);
  const values = [
    clockAngle(sky.right_ascension),
    arcMinutes(sky.declination),
    hourAngle(sky.hour_angle),
    `${air}, ${fixed(sky.parallactic_angle, 0)}°`,
  ];
  const stale = apart(view) === "page" || Boolean(axisOf(view, "azimuth")?.stale || axisOf(view, "elevation")?.stale);
  return NAMES.map((name, index) => ({ name, text: values[index], level: "", stale }));
}
