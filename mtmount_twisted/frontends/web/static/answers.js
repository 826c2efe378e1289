// How the mount answers: its last answer, commands that wait, and rejections. For the cell "Mount answers" and for the
// notice.
//
// Pure: values only. `at` is a time by performance.now(), `time` one of the daemon.

import { roughly, span } from "./clock.js";

const SLOW = 2000; // ms without an Ack after which the mount counts as not answering
const [MANY, WITHIN] = [5, 5500]; // rejections, and ms: one a second, which may be late by half a second
const RECENT = 5000; // ms in which rejections count
const COUNTED = 7000; // ms for which the daemon's count is current: the page requests it every 5 s
const FRESH = 10_000; // ms for which an answer describes the present; later the mount's state is unknown

// What the cell says: {name, figure, sub, mood}. It claims no more than is known.
export function answers({ state: { controller, station, in_flight: flights }, answer: last, live }, time, at) {
  if (station?.state === "standby") return { name: "Mount", figure: "Standby", sub: "", mood: "caution" };
  if (!controller.connected) return { name: "Mount", figure: "No link", sub: "", mood: "alarm" };
  const waits = flights.filter((flight) => !flight.acked).map((flight) => Date.parse(flight.since));
  const longest = time - Math.min(...waits);
  if (live.is && longest > SLOW) return { name: "Mount answers", figure: `not for ${roughly(longest)}`, sub: "", mood: "caution" };
  if (last === null) return { name: "Mount", figure: "Connected", sub: "", mood: "" };
  const ago = `${roughly(at - last.at)} ago`;
  if (last.step === "timed_out") return { name: "Mount answered", figure: "not at all", sub: ago, mood: "caution" };
  if (live.is && at - last.at <= FRESH) return { name: "Mount answers", figure: `in ${span(last.ms)}`, sub: "", mood: "" };
  return { name: "Mount answered", figure: `in ${span(last.ms)}`, sub: ago, mood: "" };
}

// If the mount rejects command after command, at `at`: the rate a second, and the last rejection in full; otherwise null.
// A tab without events has only the daemon's counts, each valid until the next.
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
  const why = `${command} of ${commander}: ${explanation || "no explanation"}`;
  return { rate: Math.max(1, Math.round(perSecond)), why };
}
