// One press of a button acts once: Enter that is held down does not repeat it, and a double click counts once.
//
// It touches no element. It listens on the window, before any element receives the event. STOP is exempt.

const isButton = (target) => target instanceof Element && target.closest("button:not(#stop)") !== null;

export function pressOnce() {
  addEventListener(
    "keydown",
    (event) => {
      if (event.repeat && event.key === "Enter" && isButton(event.target)) event.preventDefault();
    },
    { capture: true },
  );
  addEventListener(
    "click",
    (event) => {
      if (event.detail < 2 || !isButton(event.target)) return; // `detail` is 0 for a click by key
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    { capture: true },
  );
}
