// A press is a press: Enter that is held down presses no button again, and a double click presses it once.
//
// It touches no element. It listens on the window before any element hears of it. STOP is left alone.

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
      if (event.detail < 2 || !isButton(event.target)) return; // a key's click counts 0
      event.preventDefault();
      event.stopImmediatePropagation();
    },
    { capture: true },
  );
}
