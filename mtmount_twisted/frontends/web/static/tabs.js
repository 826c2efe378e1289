// Two tabs: one panel is on display. The choice is kept until the browser's tab is closed.
//
// It touches the elements of a tab list, and sessionStorage.

import { byId, show } from "./dom.js";

const KEY = "mtmount-way";

// Return a function that shows the panel of a tab by the tab's id.
export function tabs(ids) {
  const all = ids.map(byId);

  function choose(id, keep = true) {
    for (const tab of all) {
      const is = tab.id === id;
      tab.setAttribute("aria-selected", String(is));
      tab.tabIndex = is ? 0 : -1;
      show(byId(tab.getAttribute("aria-controls")), is);
    }
    if (keep) sessionStorage.setItem(KEY, id);
  }

  all.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab.id));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
      if (step === undefined) return;
      const next = all[(index + step + all.length) % all.length];
      choose(next.id);
      next.focus();
    });
  });
  const kept = sessionStorage.getItem(KEY);
  choose(ids.includes(kept) ? kept : ids[0], false);
  return choose;
}
