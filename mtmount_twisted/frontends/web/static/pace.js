// Draws all changes at most four times a second, in one frame: the page stays responsive under load, and the browser
// paints once.
//
// It touches a timer and the browser's frames. A hidden page draws nothing until it is visible again.

const APART = 250; // ms

const waiting = new Set();
let due = false;
let last = -APART;

// Return a function that schedules one call of `draw`, however often it is called.
export function paced(draw) {
  return () => {
    waiting.add(draw);
    if (due) return;
    due = true;
    setTimeout(() => requestAnimationFrame(flush), Math.max(0, last + APART - performance.now()));
  };
}

function flush() {
  due = false;
  last = performance.now();
  const draws = [...waiting];
  waiting.clear();
  for (const draw of draws) {
    try {
      draw();
    } catch (error) {
      reportError(error); // continue with the other panels
    }
  }
}
