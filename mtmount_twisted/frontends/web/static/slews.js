// The last slews, newest first, each with pass or fail.
//
// It touches its own part, the network by api.js, and reads the store. `slewCells` is pure. A daemon that counts none
// answers with an error, which the part shows.

import { ApiError, getSlews } from "./api.js";
import { timeOfDay } from "./clock.js";
import { byId, fill, make } from "./dom.js";
import { degrees } from "./figures.js";
import { isOld } from "./levels.js";
import { seldom } from "./pace.js";

const SHOWN = 6; // rows
const EVERY = 60_000; // ms between two reads without news
const FAILED = 5000; // ms until the next read after one that failed

export function slews(store, shown) {
  const part = byId("slews");
  let known = null;
  let why = "";
  let asked = -EVERY;
  let asking = false;
  let changed = true;

  const draw = seldom(() => {
    const view = shown.view();
    if (view.state === null) return;
    if (isOld(view)) return fill(part, "old", () => [make("p", { class: "note" }, "Not known: this protocol has no positions.")]);
    if (known === null) return fill(part, why, () => [make("p", { class: "note" }, why || "None yet.")]);
    const running = view.at === null ? (view.summary?.slew ?? null) : null;
    fill(part, JSON.stringify([known, running]), () => [table(known, running)]);
  });

  async function read() {
    const { state, live } = store;
    const due = changed || performance.now() - asked > EVERY;
    if (asking || !due || document.hidden || state === null || isOld({ state }) || !live.is) return;
    [asking, changed, asked] = [true, false, performance.now()];
    try {
      known = (await getSlews({ limit: SHOWN, ...(shown.at === null ? {} : { to: new Date(shown.at).toISOString() }) })).slews;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (shown.at !== null) known = null; // those of another moment
      if (error.passes) asked = performance.now() - EVERY + FAILED;
      why = error.status === 404 ? "Not known: this daemon counts no slews." : `Not known: ${error.message}.`;
    } finally {
      asking = false;
    }
    draw();
  }
  const anew = () => {
    changed = true;
    read();
  };
  store.on("entry", (entry) => entry?.type === "change" && entry.kind === "slew" && anew());
  store.on("moment live", anew);
  store.on("tick state", read);
  store.on("shown", draw);
}

const MISSING = "–";
const seconds = (number) => (number === null || number === undefined ? MISSING : `${number.toFixed(1)} s`);

// The cells of a row in words.
export function slewCells({ start, azimuth, elevation, seconds: took, settle, rms, passed, failures }) {
  return [
    timeOfDay(start),
    degrees(Math.abs(azimuth), 1),
    degrees(Math.abs(elevation), 1),
    seconds(took),
    seconds(settle),
    rms === null ? MISSING : `${rms.toFixed(3)}″`,
    passed ? "✓ pass" : `✗ ${failures.includes("interrupted") ? "interrupted" : `fail: ${failures.join(", ")}`}`,
  ];
}

const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);
const cell = (text, kind) => make("td", { class: kind }, text);

function table(all, running) {
  const head = [heading("Start"), heading("Az"), heading("El"), heading("Time"), heading("Settle", "hide-s"), heading("RMS"), heading("Result")];
  const rows = all.slice(0, SHOWN).map((slew) => {
    const [start, az, el, time, settle, rms, result] = slewCells(slew);
    const failed = !slew.passed && !slew.failures.includes("interrupted");
    return make(
      "tr",
      {},
      make("td", {}, make("a", { href: `#t=${slew.start}`, "data-moment": slew.start }, start)),
      cell(az),
      cell(el),
      cell(time),
      cell(settle, "hide-s"),
      cell(rms),
      make("td", {}, failed ? make("span", { class: "fail" }, result) : result),
    );
  });
  if (running) rows.unshift(make("tr", {}, cell(timeOfDay(running.start)), make("td", { colspan: "6", class: "say" }, "running")));
  if (rows.length === 0) return make("p", { class: "note" }, "None yet.");
  const body = make("tbody", {}, ...rows.slice(0, SHOWN));
  return make("div", { class: "wide-table" }, make("table", {}, make("thead", {}, make("tr", {}, ...head)), body));
}
