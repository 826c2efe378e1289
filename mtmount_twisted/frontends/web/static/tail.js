// The tail of messages, newest first: filtered, paused, bounded, and continued into the journal by "Older".
//
// It touches its own panel, the network by api.js for older entries, and reads the store and the moment shown. While it
// is paused, it counts new entries and does not show them. In playback it has the entries of the journal until the
// moment.

import { ApiError, getMessages } from "./api.js";
import { timeOfDay } from "./clock.js";
import { byId, make, write } from "./dom.js";
import { clockOf, dayOf, iso } from "./figures.js";
import { Names } from "./names.js";
import { paced } from "./pace.js";
import { cells } from "./words.js";

const MOST_ROWS = 500;
const MOST_OLDER = 3000; // rows, including older entries
const PAGE = 500; // entries of the journal at once
const ENOUGH = 100; // rows after which "Older" ends
const MOST_PAGES = 10; // pages that "Older" reads
const RESTS = 400; // ms for which a moment rests before its messages are read: a slider passes many
const FAILED = 5000; // ms until the messages of a moment are read again that could not be read
const LOUD = new Set(["ERROR", "WARNING", "NOACK", "CMD_REJECTED", "CMD_FAILED", "CMD_SUPERSEDED"]);

// The filter of each choice. "mount" shows a line of the mount once, without its copies to commanders.
const KINDS = {
  mount: (entry) => entry.type !== "message" || entry.peer === "controller",
  message: (entry) => entry.type === "message",
  step: (entry) => entry.type === "step",
  change: (entry) => entry.type === "change",
  all: () => true,
};
const OF_THE_JOURNAL = new Set(["message", "step", "change"]); // filters that the daemon supports

export function tail(store, shown) {
  const [rows, pause, count] = [byId("tail"), byId("tail-pause"), byId("tail-count")];
  const [older, reach] = [byId("tail-older"), byId("tail-reach")];
  const controls = byId("tail-form").elements;
  let [paused, missed, fresh, whole] = [false, 0, [], true];
  let chosen = () => true; // filter by the sort of an entry
  let fits = () => true; // the whole filter
  let end = null; // the id of the oldest entry examined
  let reading = null; // the current read of older entries
  let then = null; // the entries until the moment of the playback, newest first; null: now
  let resting = null; // the timer until they are read
  const line = (entry) => row(entry, Boolean(store.state?.telemetry)); // without telemetry there are no plots to go to

  function choose() {
    const [kind, text] = [KINDS[controls.kind.value], byId("tail-filter").value.trim().toLowerCase()];
    const quiet = byId("tail-quiet").checked;
    const has = (entry) => text === "" || cells(entry).join(" ").toLowerCase().includes(text);
    chosen = (entry, tracks) => kind(entry) && !(quiet && tracks);
    fits = (entry, names) => chosen(entry, names.isTracking(entry)) && has(entry);
  }

  function tell() {
    const number = `${rows.childElementCount} shown`;
    write(count, paused && then === null ? `${number}, paused; ${missed} came since` : number);
  }

  function all() {
    const entries = store.recent.of(chosen).slice(-MOST_ROWS);
    [missed, fresh, whole, reading] = [0, [], false, null];
    end = entries.find(({ id }) => id)?.id ?? null;
    rows.replaceChildren(...entries.filter((entry) => fits(entry, store.names)).reverse().map(line));
    write(reach, "");
    older.disabled = false;
    tell();
  }

  function some() {
    rows.prepend(...fresh.splice(0).reverse().map(line));
    while (rows.childElementCount > MOST_ROWS) {
      rows.lastElementChild.remove();
      end = rows.lastElementChild.dataset.id ?? end;
    }
    tell();
  }

  // The entries of then; the list goes on into the journal by "Older".
  function past(moment, entries) {
    then = entries;
    write(byId("tail-name"), `Messages until ${clockOf(moment)} UTC, ${dayOf(moment)}`);
    [fresh, whole] = [[], false];
    const names = new Names();
    end = null;
    rows.replaceChildren();
    if (then.length === 0) return tell();
    append(then, names);
    end = then.at(-1).id ?? null;
  }

  // Go to the moment shown. The heading has the moment of the list, which it keeps until the next is read.
  function go() {
    clearTimeout(resting);
    const at = shown.at;
    reading = null;
    pause.disabled = at !== null;
    if (at === null) {
      then = null;
      write(byId("tail-name"), "Messages");
      return setPaused(false);
    }
    older.disabled = true;
    if (then === null) past(at / 1000, []);
    write(reach, "The journal is being read.");
    resting = setTimeout(() => readThen(at / 1000), RESTS);
  }

  async function readThen(moment) {
    const mine = (reading = {});
    try {
      const { entries, next } = await getMessages({ until: iso(moment), limit: PAGE, ...ofJournal() });
      if (reading !== mine) return;
      past(moment, entries);
      write(reach, next === null ? "The journal begins here." : "");
      older.disabled = next === null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (reading !== mine) return;
      past(moment, []);
      write(reach, `The messages of then can't be read: ${error.message}`);
      if (error.passes) resting = setTimeout(() => readThen(moment), FAILED);
    }
  }

  const ofJournal = () => (OF_THE_JOURNAL.has(controls.kind.value) ? { kind: controls.kind.value } : {});

  function drawNow() {
    if (then !== null) tell();
    else if (whole) all();
    else if (paused) tell();
    else some();
  }
  const draw = paced(drawNow);

  function take(entry) {
    if (then !== null) return;
    if (paused) missed += entry === null ? 0 : 1;
    else if (entry === null) whole = true;
    else if (fits(entry, store.names)) {
      fresh.push(entry);
      if (fresh.length > MOST_ROWS) fresh.shift(); // a hidden page draws nothing
    } else return;
    draw();
  }

  // The paused list keeps the entries from the time of the press.
  function setPaused(is) {
    if (is && !paused) drawNow();
    paused = is;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) whole = true;
    draw();
  }

  // Append older entries from the journal; the list is paused, so that it does not move.
  async function readOlder() {
    if (then === null) setPaused(true);
    const mine = (reading = {});
    const names = new Names();
    older.disabled = true;
    let found = 0;
    const wait = (why) => reading === mine && write(reach, `Waiting: ${why}.`);
    try {
      for (let page = 0; page < MOST_PAGES && found < ENOUGH; page++) {
        const before = end === null ? {} : { before: end };
        const { entries, next } = await getMessages({ limit: PAGE, ...ofJournal(), ...before }, wait);
        if (reading !== mine) return;
        found += append(entries, names);
        end = next ?? entries.at(-1)?.id ?? end;
        write(reach, next === null ? "The journal begins here." : `Back to ${timeOfDay(entries.at(-1)?.time, true)} UTC.`);
        if (next === null) return;
        if (rows.childElementCount >= MOST_OLDER) {
          write(reach, `${reach.textContent} That is all this list holds: choose less, or press Pause to begin anew.`);
          return;
        }
      }
      older.disabled = false;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (reading !== mine) return;
      write(reach, `Older entries can't be read: ${error.message}`);
      older.disabled = false;
    }
  }

  function append(entries, names) {
    for (const entry of [...entries].reverse()) names.note(entry);
    const fitting = entries.filter((entry) => fits(entry, names));
    rows.append(...fitting.map(line));
    tell();
    return fitting.length;
  }

  store.on("entry", take);
  let last = null;
  store.on("moment", () => {
    if (shown.at !== last) go();
    last = shown.at;
  });
  byId("tail-form").addEventListener("input", () => {
    choose();
    if (then !== null) return go();
    whole = true;
    draw();
  });
  byId("tail-form").addEventListener("submit", (event) => event.preventDefault());
  pause.addEventListener("click", () => setPaused(!paused));
  older.addEventListener("click", readOlder);
  choose();
  draw();
}

// The row of an entry; `linked`: its time is a link to this moment in the plots.
function row(entry, linked) {
  const [time, who, what, text] = cells(entry);
  const clock = timeOfDay(time, true);
  return make(
    "div",
    { class: `row${LOUD.has(entry.kind) && entry.direction === "from" ? " loud" : ""}`, "data-id": entry.id },
    make("span", {}, linked ? make("a", { href: `#t=${time}` }, clock) : clock),
    make("span", {}, who),
    make("span", {}, what),
    make("span", { class: "text" }, text),
  );
}
