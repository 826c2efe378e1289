// The title and the icon of the tab, visible while another tab is in front.
//
// It touches these two and reads the store; it does not wait for a frame, because a hidden page gets none.

import { count } from "./figures.js";
import { nearLimits } from "./levels.js";

const DRAWN = {
  calm: "<path d='M2 14h12M8 14V8m-4 0h8L8 2z' fill='none' stroke='#b3001b' stroke-width='2'/>",
  alarm:
    "<path d='M5 0h6l5 5v6l-5 5H5l-5-5V5z' fill='#b3001b'/><path d='M8 3v6m0 2v2' stroke='#fff' stroke-width='2.4'/>",
  caution:
    "<path d='M8 1 15.4 15H.6z' fill='#fff' stroke='#a86400' stroke-width='2'/><path d='M8 6v4m0 1.4v1.8' stroke='#a86400' stroke-width='2'/>",
  lost:
    "<path d='M5.4 1h5.2L15 5.4v5.2L10.6 15H5.4L1 10.6V5.4z' fill='#fff' stroke='#b3001b' stroke-width='2'/>" +
    "<path d='M5 5l6 6m0-6l-6 6' stroke='#b3001b' stroke-width='2'/>",
};
const icon = (name) =>
  `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>${DRAWN[name]}</svg>`)}`;

export function sign(store, shown) {
  const link = document.querySelector("link[rel=icon]");
  store.on("state live summary moment", () => {
    const { title, name } = told(store);
    const full = shown.at === null ? title : `Playback: ${title}`;
    if (document.title !== full) document.title = full;
    if (link.dataset.name === name) return;
    link.dataset.name = name;
    link.href = icon(name);
  });
}

// The title and the icon for the worst condition: not live, a lost link, an active alarm, a limit; a warning has only an
// icon.
export function told({ live, state, summary }) {
  if (!live.is || state === null) return { title: "NOT LIVE: Mount", name: "lost" };
  const { connected } = state.controller;
  const alarms = state.errors.filter((error) => error.active).length;
  const near = connected && nearLimits({ summary }, "alarm").length;
  const news = [!connected && "no link", alarms && count(alarms, "alarm"), near && "limit"].filter(Boolean);
  const warned = state.warnings.length || nearLimits({ summary }, "caution").length;
  const name = !connected ? "lost" : alarms || near ? "alarm" : warned ? "caution" : "calm";
  return { title: news.length ? `(${news.join(", ")}) Mount` : "Mount", name };
}
