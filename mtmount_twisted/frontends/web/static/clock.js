// Times and durations on the page: UTC by the daemon's clock, because this machine's clock may be wrong.
//
// It touches no page and no network. The browser's clock only measures elapsed time.

let ahead = 0; // ms by which the daemon's clock is ahead of performance.now()
let known = false;

// Take the time from the daemon.
export function setDaemonTime(iso) {
  const there = Date.parse(iso);
  if (!Number.isFinite(there)) return;
  ahead = there - performance.now();
  known = true;
}

// The daemon's time now, in ms since 1970.
export function now() {
  return known ? performance.now() + ahead : Date.now();
}

const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
const two = (number) => String(number).padStart(2, "0");

// The time of day, UTC.
export function timeOfDay(time, milliseconds = false) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return "unknown time";
  return date.toISOString().slice(11, milliseconds ? 23 : 19);
}

// A duration: 4 s, 2:05 min, 1:02:05 h, 3 d 4 h.
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (seconds < 60) return `${seconds} s`;
  if (hours < 1) return `${minutes}:${two(seconds % 60)} min`;
  if (hours < 24) return `${hours}:${two(minutes)}:${two(seconds % 60)} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// A duration in one unit, for times long ago.
export function roughly(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? UNITS.at(-1);
  return `${Math.floor(seconds / size)} ${unit}`;
}

// The duration since a time that the daemon gave as text; "" if it gave none.
export function since(iso) {
  const time = Date.parse(iso ?? "");
  return Number.isFinite(time) ? duration(now() - time) : "";
}

// A span too short for duration().
export function span(milliseconds) {
  if (milliseconds < 1) return "< 1 ms";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1).replace(".0", "")} s`;
}
