// The lease: take command, request it, give it up, and grant a request.
//
// It touches its own panel and the API's lease. Taking command from another commander needs two presses. The lease is the
// real mount's, and its buttons are off while the page shows the past.

import { ApiError, giveUpCommand, grantCommand, requestCommand, takeCommand } from "./api.js";
import { since } from "./clock.js";
import { byId, fill, make, write } from "./dom.js";

const ARMED = 5000; // ms in which the second press counts

export function lease(store, shown, refresh) {
  const status = byId("lease-status");
  let asking = false;

  // Run one request at a time, because each occupies a connection until the mount has answered. The panel shows the
  // result, unless `text` does.
  async function run(action, text = "") {
    if (asking) return write(status, "waiting for the daemon; press again after its answer");
    asking = true;
    status.classList.remove("bad");
    write(status, "waiting for the daemon");
    try {
      await action();
      write(status, text);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      status.classList.add("bad");
      write(status, error.message);
    } finally {
      asking = false;
    }
    refresh();
  }

  const button = (text, action, done = "", kind = "") =>
    make("button", { type: "button", class: kind, click: () => run(action, done) }, text);

  // A button that needs two presses.
  function armedButton(text, sure, action) {
    let timer = null;
    let armed; // time by performance.now(), because the timer of a hidden or frozen page fires late
    const relax = () => {
      clearTimeout(timer);
      timer = null;
      made.classList.remove("armed");
      write(made, text);
    };
    const press = () => {
      const counts = timer !== null && performance.now() - armed < ARMED;
      relax();
      if (counts) return run(action);
      armed = performance.now();
      made.classList.add("armed");
      write(made, sure);
      timer = setTimeout(relax, ARMED);
    };
    const made = make("button", { type: "button", click: press }, text);
    return made;
  }

  function buttons({ lease: { holder }, you }) {
    if (!you.roles.includes("command")) return [];
    if (you.has_command) return [button("Give up command", giveUpCommand)];
    // A request, not a take: another commander may just have taken command.
    if (holder === null) return [button("Take command", requestCommand, "", "go")];
    return [
      button(`Ask ${holder} for command`, requestCommand, `The request was sent to ${holder}.`, "go"),
      armedButton(`Take it from ${holder}`, `Press again to take it from ${holder}`, takeCommand),
    ];
  }

  function requests({ lease: { requests: all }, you }) {
    return all.map(({ by, time }) =>
      make(
        "p",
        {},
        make("strong", {}, by),
        ` has asked for command at ${time.slice(11, 19)} UTC. `,
        you.has_command ? button(`Grant it to ${by}`, () => grantCommand(by)) : "",
      ),
    );
  }

  function draw() {
    const { state } = store;
    if (state === null) return;
    const { lease: { holder, source, requests: all }, you } = state;
    write(byId("lease-text"), sentence(state));
    const panel = byId("lease-panel");
    const held = panel.contains(document.activeElement);
    const key = JSON.stringify([holder, source, you]);
    fill(byId("lease-buttons"), key, () => buttons(state));
    fill(byId("lease-requests"), JSON.stringify([all, you.has_command]), () => requests(state));
    for (const each of panel.querySelectorAll("button")) each.disabled = shown.at !== null;
    // A removed button loses the focus; move it to the heading, so that no other button receives the next press.
    if (held && !panel.contains(document.activeElement)) byId("lease-name").focus();
  }
  store.on("state tick moment", draw);
}

function sentence({ lease: { holder, since: from, number, holder_gone: gone }, you }) {
  const may = you.roles.includes("command") ? "" : " You may not command.";
  if (holder === null) return `Nobody has command.${may}`;
  const who = you.has_command ? `You have command as ${holder}` : `${holder} has command`;
  const long = from ? `, for ${since(from)}` : "";
  const lost = gone ? ` ${holder} is not connected: if it is not back soon, the mount is stopped.` : "";
  return `${who} (lease ${number}${long}).${lost}${may}`;
}
