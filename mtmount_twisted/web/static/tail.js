// The tail of messages, newest first: filtered, paused, and never longer than the store's list of them.
//
// It touches its own panel and reads the store. While it is paused new entries are counted and not shown.

import { timeOfDay } from "./clock.js";
import { byId, make, write } from "./dom.js";
import { cells } from "./words.js";

const MOST_ROWS = 500;
const LOUD = new Set(["ERROR", "WARNING", "NOACK"]);

// What to show, by the name of the choice. A line that the mount said is passed on to others: once is enough.
const KINDS = {
  mount: (entry) => entry.type !== "message" || entry.peer === "controller",
  message: (entry) => entry.type === "message",
  step: (entry) => entry.type === "step",
  change: (entry) => entry.type === "change",
  all: () => true,
};

export function tail(store) {
  const [rows, pause, count] = [byId("tail"), byId("tail-pause"), byId("tail-count")];
  let [paused, missed, queue] = [false, 0, []];

  const chosen = () => {
    const fits = KINDS[byId("tail-form").elements.kind.value];
    const text = byId("tail-filter").value.trim().toLowerCase();
    return (entry) => fits(entry) && (text === "" || cells(entry).join(" ").toLowerCase().includes(text));
  };

  function tell() {
    const shown = `${rows.childElementCount} shown`;
    write(count, paused ? `${shown}, paused; ${missed} came since` : shown);
  }

  function all() {
    queue = [];
    missed = 0;
    rows.replaceChildren(...store.entries.filter(chosen()).reverse().map(row));
    tell();
  }

  function some() {
    const fresh = queue.splice(0).filter(chosen());
    rows.prepend(...fresh.reverse().map(row));
    while (rows.childElementCount > MOST_ROWS) rows.lastElementChild.remove();
    tell();
  }

  function take(entry) {
    if (paused) {
      missed += 1;
      if (missed === 1) requestAnimationFrame(tell);
    } else if (entry === null) all();
    else if (queue.push(entry) === 1) requestAnimationFrame(some);
    else if (queue.length > MOST_ROWS) queue.splice(1, 1); // a hidden page draws nothing
  }

  store.on("entry", take);
  store.on("tick", () => paused && tell());
  byId("tail-form").addEventListener("input", all);
  byId("tail-form").addEventListener("submit", (event) => event.preventDefault());
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) tell();
    else all();
  });
  tell();
}

function row(entry) {
  const [time, who, what, text] = cells(entry);
  return make(
    "div",
    { class: `row${LOUD.has(entry.kind) && entry.direction === "from" ? " loud" : ""}` },
    make("span", {}, timeOfDay(time, true)),
    make("span", {}, who),
    make("span", {}, what),
    make("span", { class: "text" }, text),
  );
}
