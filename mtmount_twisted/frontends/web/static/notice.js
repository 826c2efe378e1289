// The notice below the cells: what is wrong and what to do, in a place that is always there, so that an alarm moves
// nothing.
//
// It touches its own section and reads the moment shown. Words and order come from notices.js. At most one button is
// there; `acts` has what each does, by its id.

import { byId, fill, make, phrase, say, show, write } from "./dom.js";
import { notices, others } from "./notices.js";
import { seldom } from "./pace.js";

export function notice(store, shown, acts) {
  const section = byId("notice");
  const button = section.querySelector("button");
  const what = section.querySelector(".what");
  let act = null;

  function draw() {
    const all = notices(shown.view());
    const [{ id, level, chip, title, body, act: wanted }] = all;
    if (section.dataset.level !== level) section.dataset.level = level;
    what.id = id;
    for (const each of [byId("notice-chip"), byId("notice-chip-small")]) {
      each.dataset.level = level;
      write(each, chip);
      show(each, chip !== "");
    }
    write(byId("notice-title"), title);
    fill(byId("notice-body"), JSON.stringify(body), () => body.map((parts) => make("p", {}, ...phrase(parts))));
    act = wanted;
    press(wanted);
    const more = others(all);
    show(byId("notice-others"), more !== "");
    write(byId("notice-others"), more);
  }

  function press(wanted) {
    show(button, wanted !== null);
    if (wanted !== null) {
      if (button.id !== wanted.id) button.id = wanted.id;
      write(button, wanted.text);
      button.classList.toggle("go", Boolean(wanted.first));
      if (button.disabled !== Boolean(wanted.off)) button.disabled = Boolean(wanted.off);
    }
    say(byId("notice-why"), wanted?.why ? [wanted.why] : []);
  }

  const soon = seldom(draw);
  button.addEventListener("click", () => act && acts[act.id]?.(act));
  store.on("shown entry", soon);
  store.on("live moment", draw); // NOT LIVE at once, also on a hidden page
  store.on("state", () => changed(shown.view(), section) && draw());
}

// Whether the worst notice is another one than the section shows: an alarm does not wait for its second.
function changed(view, section) {
  const [{ id, level }] = notices(view);
  return section.dataset.level !== level || section.querySelector(".what").id !== id;
}
