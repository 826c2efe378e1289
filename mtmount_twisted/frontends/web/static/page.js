// Makes the page's parts: a view for each, over one store and one moment shown.
//
// It touches the elements of all parts. It starts nothing: main.js does.

import { acks } from "./acks.js";
import { alarms } from "./alarms.js";
import { axes } from "./axes.js";
import { bar } from "./bar.js";
import { connected } from "./connected.js";
import { devices } from "./devices.js";
import { flights } from "./flights.js";
import { form } from "./form.js";
import { graphs } from "./graphs.js";
import { glance } from "./glance.js";
import { known } from "./known.js";
import { lease } from "./lease.js";
import { lives } from "./lives.js";
import { move } from "./move.js";
import { notice } from "./notice.js";
import { playback } from "./playback.js";
import { sign } from "./sign.js";
import { slews } from "./slews.js";
import { stop } from "./stop.js";
import { tabs } from "./tabs.js";
import { tail } from "./tail.js";

// hurry(): connect at once. refresh(): read the state soon. Return the function that reads the catalogue.
export function assemble({ store, shown, commands, hurry, refresh }) {
  stop(store, commands);
  glance(store, shown);
  bar(store, shown);
  sign(store, shown);
  axes(store, shown);
  devices(store, shown);
  graphs(store, shown);
  known(store, shown);
  alarms(store, shown);
  lease(store, shown, refresh);
  const { load, prepare } = form(store, shown, commands);
  const { fillIn } = move(store, shown, commands, { prepare, showTab: tabs(["tab-move", "tab-commands"]) });
  notice(store, shown, {
    "try-now": hurry,
    reset: ({ command }) => commands.send(command).catch(() => {}), // the list of sent commands has the outcome
    unwrap: ({ azimuth, elevation }) =>
      fillIn({ azimuth, elevation }, "Filled in: the unwrap. Nothing is sent until you press Send move."),
  });
  playback(store, shown);
  lives(store);
  flights(store);
  slews(store, shown);
  connected(store);
  acks(store);
  tail(store, shown);
  return load;
}
