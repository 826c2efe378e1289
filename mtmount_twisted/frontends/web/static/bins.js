// Keeps the values of signals as least, greatest and mean of bins of equal width, in a ring of fixed size.
//
// Values only: it touches neither page nor network. Bins lie at whole multiples of their width since 1970, so that a window
// that moves on never sorts a value into another bin.

export class Bins {
  // `width` in s; `count` bins are kept, the newest ones.
  constructor(width, count, signals) {
    this.width = width;
    this.count = count;
    this.numbers = new Float64Array(count).fill(-1); // which bin is in each slot
    this.signals = new Map();
    this.keep(signals);
  }

  // Keep exactly these signals; the values of the others are lost.
  keep(signals) {
    for (const name of this.signals.keys()) if (!signals.includes(name)) this.signals.delete(name);
    for (const name of signals) if (!this.signals.has(name)) this.signals.set(name, this.empty());
  }

  empty() {
    const column = () => new Float64Array(this.count);
    return { least: column().fill(Infinity), greatest: column().fill(-Infinity), sum: column(), weight: column() };
  }

  numberAt(time) {
    return Math.floor(time / this.width + 1e-6);
  }

  // The slot of bin `number`, or -1 if nothing is known of it.
  slot(number) {
    const slot = number % this.count;
    return this.numbers[slot] === number ? slot : -1;
  }

  // The slot for bin `number`, emptied if an older bin had it; -1 if a newer one has it.
  claim(number) {
    const slot = number % this.count;
    const held = this.numbers[slot];
    if (held > number) return -1;
    if (held < number) this.clear(slot, number);
    return slot;
  }

  clear(slot, number) {
    this.numbers[slot] = number;
    for (const { least, greatest, sum, weight } of this.signals.values()) {
      least[slot] = Infinity;
      greatest[slot] = -Infinity;
      sum[slot] = weight[slot] = 0;
    }
  }

  // Add a sample: {at, values: {signal: number or null}}.
  add({ at, values }) {
    const slot = this.claim(this.numberAt(at));
    if (slot < 0) return;
    for (const [name, column] of this.signals) {
      const value = values[name];
      if (typeof value === "number") merge(column, slot, value, value, value);
    }
  }

  // Replace all bins from `from` to `to` by an answer of the history, {times, signals: {name: {least, greatest, mean}}}, for the
  // signals that it has. A bin of the answer that is wider than ours fills all of ours that it covers.
  replace({ times, signals }, from, to) {
    const first = this.numberAt(from);
    const last = Math.ceil(to / this.width - 1e-6);
    const kept = [...this.signals].filter(([name]) => signals[name]);
    for (let number = first; number < last; number += 1) {
      const slot = this.claim(number);
      if (slot < 0) continue;
      for (const [, { least, greatest, sum, weight }] of kept) {
        least[slot] = Infinity;
        greatest[slot] = -Infinity;
        sum[slot] = weight[slot] = 0;
      }
    }
    const step = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : to - from;
    times.forEach((time, index) => {
      const end = Math.max(this.numberAt(time) + 1, Math.ceil((time + step) / this.width - 1e-3));
      const begin = Math.max(first, this.numberAt(time + 1e-3 * this.width));
      for (let number = begin; number < Math.min(end, last); number += 1) {
        const slot = this.slot(number);
        if (slot < 0) continue;
        for (const [name, column] of kept) {
          const { least, greatest, mean } = signals[name];
          if (least[index] !== null) merge(column, slot, least[index], greatest[index], mean[index]);
        }
      }
    });
  }

  // What is known of a signal at a time: {least, greatest, mean}, or null.
  read(name, time) {
    const slot = this.slot(this.numberAt(time));
    const column = this.signals.get(name);
    if (slot < 0 || !column?.weight[slot]) return null;
    return { least: column.least[slot], greatest: column.greatest[slot], mean: column.sum[slot] / column.weight[slot] };
  }

  // The start of the first bin from one time to another in which any signal is known, or null.
  first(from, to) {
    const columns = [...this.signals.values()];
    for (let number = this.numberAt(from); number <= this.numberAt(to); number += 1) {
      const slot = this.slot(number);
      if (slot >= 0 && columns.some(({ weight }) => weight[slot])) return number * this.width;
    }
    return null;
  }

  // The least and greatest value of a signal from one time to another, or null.
  range(name, from, to) {
    const column = this.signals.get(name);
    let [least, greatest] = [Infinity, -Infinity];
    for (let number = this.numberAt(from); column && number <= this.numberAt(to); number += 1) {
      const slot = this.slot(number);
      if (slot < 0 || !column.weight[slot]) continue;
      least = Math.min(least, column.least[slot]);
      greatest = Math.max(greatest, column.greatest[slot]);
    }
    return least > greatest ? null : [least, greatest];
  }

  copy() {
    const other = new Bins(this.width, this.count, [...this.signals.keys()]);
    other.numbers.set(this.numbers);
    for (const [name, column] of this.signals) {
      for (const [part, values] of Object.entries(column)) other.signals.get(name)[part].set(values);
    }
    return other;
  }
}

function merge({ least, greatest, sum, weight }, slot, low, high, mean) {
  least[slot] = Math.min(least[slot], low);
  greatest[slot] = Math.max(greatest[slot], high);
  sum[slot] += mean;
  weight[slot] += 1;
}
