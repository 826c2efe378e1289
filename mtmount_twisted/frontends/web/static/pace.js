// Draws what has changed, four times a second at most and all of it in one frame: however much happens, the page
// has time for its user, and a browser paints it once.
//
// It touches a timer and the browser's frames. A page that is hidden draws nothing until it is seen again.

const APART = 250; // ms

const waiting = new Set();
let due = false;
let last = -APART;

// Gives a function that has `draw` called soon, however often it is called until then.
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
      reportError(error); // the other panels are drawn all the same
    }
  }
}
