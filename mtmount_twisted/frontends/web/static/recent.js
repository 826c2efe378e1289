// The latest entries, a bounded number of each sort, so that frequent entries (tracking, lines to commanders) do not
// displace rare ones.
//
// Values only: it touches neither page nor network.

const MOST = 500; // entries of one sort

// The sort of an entry: the list of messages filters by it.
const sortOf = ({ type, peer }, tracks) => `${type} ${type === "message" && peer === "controller"} ${tracks}`;

export class Recent {
  constructor() {
    this.forget();
  }

  forget() {
    this.number = 0; // count of added entries
    this.sorts = new Map(); // sort -> {tracks, dropped, list}: `list` has [number, entry], oldest first
  }

  // Add the newest entry; `tracks`: whether it belongs to a successful track command.
  add(entry, tracks) {
    const sort = sortOf(entry, tracks);
    if (!this.sorts.has(sort)) this.sorts.set(sort, { tracks, dropped: 0, list: [] });
    const kept = this.sorts.get(sort);
    kept.list.push([++this.number, entry]);
    if (kept.list.length > MOST) kept.dropped = kept.list.shift()[0];
  }

  // Return the entries of the wanted sorts, oldest first, from the point after which none is missing.
  of(wanted) {
    const found = [...this.sorts.values()].filter(({ tracks, list }) => wanted(list[0][1], tracks));
    const from = Math.max(0, ...found.map(({ dropped }) => dropped));
    return found
      .flatMap(({ list }) => list.filter(([number]) => number > from))
      .sort(([one], [other]) => one - other)
      .map(([, entry]) => entry);
  }

  // Add history from before the live entries; some of it may also have come live.
  merge(past, tracks) {
    const before = this.sorts;
    const entries = [...before.values()].flatMap(({ list }) => list.map(([, entry]) => entry));
    const known = new Set(entries.map(looks));
    const all = [...past.filter((entry) => !known.has(looks(entry))), ...entries].sort(byTime);
    this.forget();
    for (const entry of all) this.add(entry, tracks(entry));
    for (const [sort, kept] of this.sorts) {
      if (before.get(sort)?.dropped) kept.dropped = Math.max(kept.dropped, kept.list[0][0] - 1);
    }
  }
}

// The row number of an id, or the position of an entry of another bridge; a live entry may have no id yet.
export const rowOf = (id) => Number(id?.split(".").at(-1) ?? Infinity);

// Within one millisecond the row number gives the order.
export const byTime = (one, other) =>
  Date.parse(one.time) - Date.parse(other.time) || rowOf(one.id) - rowOf(other.id) || 0;

// An entry without its id, which a live entry may not have yet.
const looks = ({ id, ...rest }) => JSON.stringify(rest);
