// Shows that this tab receives no events, and the reason, while the tab still reads the state.
//
// It touches its own banner and reads the store.

import { byId, show, write } from "./dom.js";

export function noEvents(store) {
  const [banner, text] = [byId("no-events"), byId("no-events-text")];
  store.on("live", () => {
    const { is, events } = store.live;
    if (is && events) write(text, ` ${events}. The state is read every 2 s; no messages are added below.`);
    show(banner, Boolean(is && events));
  });
}
