// Draws all changes at most four times a second, or once a second, in one frame: the page stays responsive under load,
// and the browser paints once.
//
// It touches timers and the browser's frames. A hidden page draws nothing until it is visible again.

class Pace {
  constructor(apart) {
    this.apart = apart; // ms
    this.waiting = new Set();
    this.due = false;
    this.last = -apart;
  }

  // Call `draw` once, soon, however often it is wanted.
  want(draw) {
    this.waiting.add(draw);
    if (this.due) return;
    this.due = true;
    const wait = Math.max(0, this.last + this.apart - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.flush()), wait);
  }

  flush() {
    this.due = false;
    this.last = performance.now();
    const draws = [...this.waiting];
    this.waiting.clear();
    for (const draw of draws) {
      try {
        draw();
      } catch (error) {
        reportError(error); // continue with the other panels
      }
    }
  }
}

const figures = new Pace(250);
const rest = new Pace(1000);

// Return a function that schedules one call of `draw`, however often it is called.
export const paced = (draw) => () => figures.want(draw);

// The same, for what changes once a second.
export const seldom = (draw) => () => rest.want(draw);
