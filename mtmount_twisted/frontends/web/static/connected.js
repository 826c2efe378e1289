// The connected commanders, the link to the mount, and the journal.
//
// It touches its own part and reads the store.

import { span } from "./clock.js";
import { byId, fill, make, write } from "./dom.js";
import { count, spanOf } from "./figures.js";
import { now } from "./clock.js";
import { seldom } from "./pace.js";

export function connected(store) {
  const draw = seldom(() => {
    const { state } = store;
    if (state === null) return;
    const { commanders, clients, you, lease, controller } = state;
    const more = clients - commanders.length;
    fill(byId("commanders"), JSON.stringify([commanders, more, you.commander, lease.holder]), () =>
      more > 0 ? [table(state), make("p", { class: "note" }, `And ${count(more, "other client")}.`)] : [table(state)],
    );
    write(byId("sockets"), link(controller));
    write(byId("journal"), journal(state.journal));
    write(byId("version"), `mtmount_twisted ${state.version}`);
  });
  store.on("state tick", draw);
}

const upOrDown = (is) => (is ? "up" : "DOWN");

function link({ address, command_connection: one, reply_connection: other, epoch, since, connected: is }) {
  const lasts = since ? ` · ${is ? "up" : "down"} for ${spanOf((now() - Date.parse(since)) / 1000)}` : "";
  return `Mount ${address}: commands ${upOrDown(one)}, replies ${upOrDown(other)} · epoch ${epoch}${lasts}`;
}

const cell = (text, kind) => make("td", { class: kind }, String(text));
const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);

// What a commander may do, and does.
export function role({ name, may_command: may, in_flight: flying, behind_bytes: behind }, holder) {
  const words = [name === holder ? "in command" : may ? "may command" : "reads"];
  if (flying) words.push(`${flying} in flight`);
  if (behind) words.push(`${behind} bytes behind`);
  return words.join(", ");
}

function table({ commanders, you, lease }) {
  if (commanders.length === 0) return make("p", { class: "note" }, "Nobody.");
  const rows = commanders.map((one) =>
    make(
      "tr",
      {},
      cell(one.name, "long"),
      cell([one.source, one.name === you.commander && "this page"].filter(Boolean).join(", "), "say"),
      cell(role(one, lease.holder)),
    ),
  );
  const head = make("tr", {}, heading("Name"), heading("Source", "say"), heading("Does"));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

function journal({ path, lag, lost, fault }) {
  if (path === null) return "The journal is turned off.";
  const troubles = [fault && `FAULT: ${fault}`, lost && `${lost} entries lost`, lag > 1 && `${span(lag * 1000)} behind`];
  return `Journal: ${path}${troubles.filter(Boolean).map((trouble) => `; ${trouble}`).join("")}`;
}
