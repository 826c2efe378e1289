// The plots of both axes: error, position, velocity and torque of the last ten minutes, or of any window.
//
// It touches its own part, the network by api.js, and reads the store; plots.js draws. The plots begin when the mount is
// known to send telemetry. `errorWords` is pure.

import { getHistory, getSignals } from "./api.js";
import { now } from "./clock.js";
import { byId } from "./dom.js";
import { iso } from "./figures.js";
import { axisOf, isOld, isSlewing, isTracking } from "./levels.js";
import { seldom } from "./pace.js";
import { playLink } from "./playback.js";
import { plotTools } from "./plot_tools.js";
import { Plots } from "./plots.js";

const GOAL = 0.01; // arcsec, RMS on the sky, before the daemon has sent the rules of the site
const BACK = 60; // s before the end of the window from which it is played back, unless a moment is chosen
const AXES = [
  ["azimuth", "Azimuth", 7, 50], // name, title, greatest velocity (deg/s), ends of the scale of torque (kN m)
  ["elevation", "Elevation", 3.5, 25],
];

const strips = (axis, title, velocity, torque) => [
  { signal: `motion.${axis}.errorSky`, title: `${title} error on the sky`, unit: "″", spoken: "arcsec", low: -0.03, high: 0.03, band: GOAL },
  { signal: `${axis}.actualPosition`, title, unit: "°", spoken: "degrees", step: 0.1 },
  { signal: `${axis}.actualVelocity`, title: "Velocity", unit: "°/s", spoken: "degrees a second", low: -velocity, high: velocity, digits: 4 },
  { signal: `${axis}.actualTorque`, title: "Torque", unit: "kN m", factor: 1e-3, low: -torque, high: torque, digits: 1 },
];

async function fetchHistory(signals, from, to, points) {
  return getHistory({ signals: signals.join(), from: iso(from), to: iso(to), points });
}

export function graphs(store, shown) {
  let plots = null;

  function begin() {
    if (plots !== null || store.state === null || isOld(store) || store.state.telemetry === null) return;
    const columns = AXES.map(([name, ...more]) => ({ element: byId(`plots-${name}`), name, strips: strips(name, ...more) }));
    plots = new Plots({ columns, fetchHistory, now: () => now() / 1000 });
    const play = () => (location.hash = playLink(plots.cursor ?? plots.window.to - BACK));
    plotTools(byId("plot-tools"), plots, async () => (await getSignals()).signals, play);
  }

  const tell = seldom(() => {
    const view = shown.view();
    for (const [axis] of plots === null ? [] : AXES) plots.say(`motion.${axis}.errorSky`, ...errorWords(view, axis), goalOf(view));
  });
  store.on("moment", () => plots?.follow(shown.at === null ? null : shown.at / 1000));
  store.on("state", begin);
  store.on("signals", (sample) => plots?.add(sample));
  store.on("summary live moment", tell);
}

const goalOf = ({ summary }) => summary?.rules?.rms_limit ?? GOAL;

// What the strip of the error says, whether that is stale, and its level: caution while the RMS is beyond the site's limit.
export function errorWords(view, name) {
  const axis = axisOf(view, name);
  if (axis === null) return ["not told", true, ""];
  if (isSlewing(view)) return ["slewing", axis.stale, ""];
  if (!isTracking(view)) return ["not following", axis.stale, ""];
  if (axis.rms === null || axis.rms === undefined) return ["settling", axis.stale, ""];
  const goal = goalOf(view);
  const words = `RMS ${axis.rms.toFixed(3)} of ${goal.toFixed(3)} · greatest ${axis.greatest.toFixed(3)}`;
  return [words, axis.stale, !axis.stale && axis.rms > goal ? "caution" : ""];
}
