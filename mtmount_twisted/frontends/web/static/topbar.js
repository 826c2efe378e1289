// The top bar: the holder of command, whether the mount answers, its latest message, and whether all this is current.
//
// It touches the top bar's elements and reads the store. A screen reader announces its changes.

import { duration, now, roughly, since, span, timeOfDay } from "./clock.js";
import { byId, fill, make, show, write } from "./dom.js";
import { paced } from "./pace.js";
import { word } from "./words.js";

const SLOW = 2000; // ms without an Ack after which the mount counts as not answering
const [MANY, WITHIN] = [5, 5500]; // rejections, and ms: one a second, which may be late by half a second
const RECENT = 5000; // ms in which rejections count
const COUNTED = 7000; // ms for which the daemon's count is current: the page requests it every 5 s
const FRESH = 10_000; // ms for which an answer describes the present; later the mount's state is unknown

export function topbar(store, onTryNow) {
  const draw = paced(() => {
    holder(store.state);
    mount(store);
    lastWord(store);
    write(byId("utc"), timeOfDay(now()));
  });
  store.on("state tick live acks entry", draw);
  store.on("state live", () => link(store));
  store.on("live", () => liveness(store));
  store.on("state live", announcer(store));
  byId("try-now").addEventListener("click", onTryNow);
}

function mood(tile, name) {
  byId(tile).dataset.mood = name;
}

function holder(state) {
  if (state === null) return;
  const { lease, you } = state;
  write(byId("holder"), you.has_command ? "you" : (lease.holder ?? "nobody"));
  const more = [you.has_command && lease.holder, lease.source, lease.since && `for ${since(lease.since)}`];
  if (lease.holder_gone) more.unshift("its connection is lost");
  if (lease.requests.length) more.push(`${lease.requests.map(({ by }) => by).join(", ")} asks for it`);
  write(byId("holder-more"), lease.holder === null ? "command is free" : more.filter(Boolean).join(" · "));
  mood("tile-command", lease.holder_gone ? "bad" : you.has_command ? "yours" : "");
  write(byId("who"), `you are ${you.commander}`);
  write(byId("address"), state.controller.address);
}

const upOrDown = (is) => (is ? "up" : "DOWN");

function mount(store) {
  if (store.state === null) return;
  const { controller } = store.state;
  const [answer, how] = answers(store, now(), performance.now());
  const refused = how === "bad" ? null : refusing(store, performance.now());
  write(byId("answers"), refused ? refused.text : answer);
  write(byId("refusal"), refused ? refused.why : "");
  show(byId("refusal"), refused !== null);
  mood("tile-mount", refused ? "warn" : how);
  const parts = [
    `commands ${upOrDown(controller.command_connection)}, replies ${upOrDown(controller.reply_connection)}`,
    `epoch ${controller.epoch}`,
    controller.since && `${controller.connected ? "up" : "down"} for ${since(controller.since)}`,
  ];
  write(byId("sockets"), parts.filter(Boolean).join(" · "));
}

// Whether the mount answers: a text and a class. The text claims no more than is known at `time`, which is `at` by
// performance.now().
export function answers({ state: { controller, in_flight: flights }, answer: last, live }, time, at) {
  if (!controller.connected) return ["Link down", "bad"];
  const waits = flights.filter((flight) => !flight.acked).map((flight) => Date.parse(flight.since));
  const longest = time - Math.min(...waits);
  if (live.is && longest > SLOW) return [`No answer for ${duration(longest)}`, "bad"];
  if (last === null) return ["Connected", ""];
  const ago = `${roughly(at - last.at)} ago`;
  if (last.step === "timed_out") return [`Did not answer, ${ago}`, "bad"];
  if (live.is && at - last.at <= FRESH) return [`Answers in ${span(last.ms)}`, "good"];
  return [`Answered in ${span(last.ms)}, ${ago}`, ""];
}

// If the mount rejects command after command, at `at` by performance.now(): the rate, and the last rejection in full;
// otherwise null. A tab without events has only the daemon's counts, each valid until the next.
export function refusing({ refusals, counted, live }, at) {
  if (!live.is) return null;
  if (!live.events) return many(refusals, at, rate(refusals, at));
  return counted === null || at - counted.at > COUNTED ? null : many(counted.refusals, counted.at, counted.rate);
}

const rate = (refusals, at) => (refusals.filter((refusal) => refusal.at > at - RECENT).length * 1000) / RECENT;

function many(refusals, at, perSecond) {
  const last = refusals.slice(-MANY);
  if (last.length < MANY || at - last[0].at > WITHIN) return null;
  const { command, commander, explanation } = last.at(-1);
  const text = `Refuses ${Math.max(1, Math.round(perSecond))}/s`;
  return { text, why: `${command} of ${commander}: ${explanation || "no explanation"}` };
}

function lastWord({ lastWord: entry, named }) {
  if (entry === null) return;
  write(byId("word"), word(entry, named));
  write(byId("word-more"), `${since(entry.time)} ago · ${timeOfDay(entry.time)}`);
}

function link({ state, live }) {
  const down = byId("link-down");
  const is = state !== null && !state.controller.connected && live.is;
  if (is) {
    const at = state.controller.since ? ` since ${timeOfDay(state.controller.since)} UTC` : "";
    const title = `THE LINK TO THE MOUNT IS DOWN${at}.`;
    fill(down, title, () => [make("p", {}, make("strong", {}, title), " No command can be sent, nor can STOP.")]);
  }
  show(down, is);
}

function liveness({ live }) {
  document.body.dataset.live = live.is ? "yes" : "no";
  const text = byId("not-live-text");
  if (!live.is) {
    const at = live.since === null ? "" : ` since ${timeOfDay(live.since)} UTC`;
    const [title, rest] = [`NOT LIVE${at}:`, ` ${live.why}. What is shown may have changed.`];
    fill(text, title + rest, () => [make("strong", {}, title), rest]);
  }
  show(byId("not-live"), !live.is);
}

// Announces changes to screen readers, except the clocks, which change all the time.
function announcer(store) {
  let last = "";
  return () => {
    const { state, live } = store;
    if (state === null || !live.is) return;
    const who = state.you.has_command ? "You have command." : `${state.lease.holder ?? "Nobody"} has command.`;
    const asks = state.lease.requests.map(({ by }) => ` ${by} asks for command.`).join("");
    const alarms = state.errors.length + state.warnings.length;
    const text = `${who}${asks} ${alarms} warnings and errors.`;
    if (text !== last) write(byId("announcer"), text);
    last = text;
  };
}
