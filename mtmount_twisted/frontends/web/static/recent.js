// The entries that came last, so many of each sort: what is loud, such as tracking or what is passed on to others,
// does not push out what is rare.
//
// Values only: it touches neither page nor network.

const MOST = 500; // entries of one sort

// What the list of messages can choose by.
const sortOf = ({ type, peer }, tracks) => `${type} ${type === "message" && peer === "controller"} ${tracks}`;

export class Recent {
  constructor() {
    this.forget();
  }

  forget() {
    this.number = 0; // of entries that were added
    this.sorts = new Map(); // sort -> {tracks, dropped, list}: `list` has [number, entry], oldest first
  }

  // An entry that is newer than all others; `tracks` is whether it is of a track command that goes well.
  add(entry, tracks) {
    const sort = sortOf(entry, tracks);
    if (!this.sorts.has(sort)) this.sorts.set(sort, { tracks, dropped: 0, list: [] });
    const kept = this.sorts.get(sort);
    kept.list.push([++this.number, entry]);
    if (kept.list.length > MOST) kept.dropped = kept.list.shift()[0];
  }

  // The entries of all sorts that are wanted, oldest first, from where on none is missing.
  of(wanted) {
    const found = [...this.sorts.values()].filter(({ tracks, list }) => wanted(list[0][1], tracks));
    const from = Math.max(0, ...found.map(({ dropped }) => dropped));
    return found
      .flatMap(({ list }) => list.filter(([number]) => number > from))
      .sort(([one], [other]) => one - other)
      .map(([, entry]) => entry);
  }

  // History is what was before; some of it may have come live, too.
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

// The number of the row that an id names; an entry that has just come may have no id yet.
export const rowOf = (id) => Number(id?.split(".")[1] ?? Infinity);

// Within one millisecond the number of the row tells.
export const byTime = (one, other) =>
  Date.parse(one.time) - Date.parse(other.time) || rowOf(one.id) - rowOf(other.id) || 0;

// An entry without its id, which one that has just come may not have yet.
const looks = ({ id, ...rest }) => JSON.stringify(rest);
