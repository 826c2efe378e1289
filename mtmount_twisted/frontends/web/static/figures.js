// Writes numbers, angles and times as the page shows them, and finds round scales for plots.
//
// Pure: numbers in, text and numbers out. Times are UTC in seconds since 1970.

const MINUS = "\u2212";

// A number with a true minus; `digits` after the point.
export function fixed(value, digits) {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
}

// The same with its sign, also if that is plus; a zero has none.
export const signed = (value, digits) => (Number(value.toFixed(digits)) > 0 ? "+" : "") + fixed(value, digits);

// As many digits as the number needs, at most `most`.
export const short = (value, most = 6) => fixed(value, digitsOf(value, most));

// How many digits after the point `value` needs.
function digitsOf(value, most) {
  let digits = 0;
  while (digits < most && Math.abs(value * 10 ** digits - Math.round(value * 10 ** digits)) > 1e-6) digits += 1;
  return digits;
}

const two = (number) => String(number).padStart(2, "0");

// A span of time: 42 s, 4 min 19 s, 7 h 20 min, 3 d 4 h.
export function spanOf(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
}

// 02:13:47, or with `fraction` 02:13:47.250, of a time in seconds.
export const clockOf = (seconds, fraction = false) => iso(seconds).slice(11, fraction ? 23 : 19);

// 2026-11-26 of a time in seconds.
export const dayOf = (seconds) => iso(seconds).slice(0, 10);

// 2026-11-26T02:13:47.250Z of a time in seconds.
export const iso = (seconds) => new Date(Math.round(seconds * 1000)).toISOString();

const LATEST = 253_402_300_800; // the year 10000, UTC s

// The moment that the address names with a word, UTC s, or null: "#t=2026-11-26T02:13:47Z". A link may hold any text; a
// year that ISO 8601 can't write plainly is no moment.
export function momentIn(hash, word) {
  const text = new URLSearchParams(hash.replace(/^#/, "")).get(word);
  const time = text === null ? NaN : Date.parse(text) / 1000;
  return time >= 0 && time < LATEST ? time : null;
}

// The smallest of 1, 2 and 5 times a power of ten that is at least `value`.
export function roundStep(value) {
  const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= value * (1 - 1e-9));
}

// The ends of a scale in round steps, at least `smallest`, around the values from `least` to `greatest`. A value that does
// not change lies in the middle.
export function roundScale(least, greatest, smallest = 1e-3) {
  const step = roundStep(Math.max((greatest - least) / 2, smallest));
  const low = Math.floor(least / step + 1e-9) * step;
  const high = Math.ceil(greatest / step - 1e-9) * step;
  // Rounded to the step's digits, because 3 * 0.1 is not 0.3.
  const tidy = (value) => Number(value.toFixed(digitsOf(step, 9)));
  return high > low ? [tidy(low), tidy(high)] : [tidy(low - step), tidy(low + step)];
}

// Steps between the words of a time scale, in seconds.
const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000];

const MOST_MARKS = 200;

// The words of a time scale, [{at, text}], at least `least` seconds apart.
export function timeMarks(from, to, least) {
  const step = TIMES.find((each) => each >= least) ?? TIMES.at(-1);
  const marks = [];
  for (let at = Math.ceil(from / step) * step; at <= to && marks.length < MOST_MARKS; at += step) {
    const text = at % 86_400 === 0 ? dayOf(at).slice(5) : step < 60 ? clockOf(at) : clockOf(at).slice(0, 5);
    marks.push({ at, text });
  }
  return marks;
}

// Widths of the bins of plots, in seconds.
const WIDTHS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

// The widest bin of which each of `columns` has at least one, so that no pixel column is empty; `most` bounds their number.
export function binWidth(span, columns, most = 4000) {
  const fine = WIDTHS.findLast((width) => width <= span / columns) ?? WIDTHS[0];
  return WIDTHS.find((width) => width >= fine && span / width < most - 2) ?? WIDTHS.at(-1);
}

const MOST_DEGREES = 1000; // as in dialects/facts.py

// Whether a value is an angle of an axis; a larger number is a fault of the mount.
export const isAngle = (value) => typeof value === "number" && Math.abs(value) <= MOST_DEGREES;

export const degrees = (value, digits = 3) => `${fixed(value, digits)}°`;

const turn = (angle) => ((angle % 360) + 360) % 360;

// An angle in degrees as a time of day: 03h 57m, or with seconds 03h 57m 12s.
export function clockAngle(angle, seconds = false) {
  const whole = Math.floor(turn(angle) * 240 + 1e-6);
  const minutes = `${two(Math.floor(whole / 3600))}h ${two(Math.floor(whole / 60) % 60)}m`;
  return seconds ? `${minutes} ${two(whole % 60)}s` : minutes;
}

// An angle in degrees east or west of the meridian: −02h 06m.
export function hourAngle(angle) {
  const west = turn(angle + 180) - 180;
  return `${west < 0 ? MINUS : "+"}${clockAngle(Math.abs(west))}`;
}

// An angle in degrees to the arc minute: −44° 25′.
export function arcMinutes(angle) {
  const whole = Math.round(Math.abs(angle) * 60);
  return `${angle < 0 ? MINUS : "+"}${two(Math.floor(whole / 60))}° ${two(whole % 60)}′`;
}

// A number of things: 1 alarm, 2 alarms.
export const count = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;

// MIRROR_COVERS as words; a value of another type as its text.
export const spoken = (name) => String(name).toLowerCase().replaceAll("_", " ");

export const titled = (text) => text.charAt(0).toUpperCase() + text.slice(1);
