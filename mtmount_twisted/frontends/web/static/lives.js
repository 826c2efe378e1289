// The commands that this page has sent, newest first, each with its state.
//
// It touches its own list and reads the store.

import { span } from "./clock.js";
import { fate } from "./commands.js";
import { byId, make } from "./dom.js";
import { words } from "./schema.js";

export function lives(store) {
  const list = byId("lives");
  const draw = () => {
    const rows = store.lives.map(row);
    list.replaceChildren(...(rows.length ? rows : [make("li", {}, "Nothing yet.")]));
  };
  store.on("lives", draw);
  store.on("tick", () => store.lives.some((life) => !fate(life).ended) && draw());
  draw();
}

function row(life) {
  const { text, ended, good } = fate(life);
  const values = Object.entries(life.parameters ?? {}).map(([name, value]) => `${name} ${value}`);
  const why = life.explanation ? `: ${life.explanation}` : "";
  return make(
    "li",
    {},
    make("strong", {}, words(life.command)),
    values.length ? ` ${values.join(", ")}` : "",
    " ",
    make("span", { class: !ended ? "" : good ? "good" : "bad" }, `${ended ? "" : "… "}${text}${why}`),
    ` ${took(life)}`,
  );
}

function took(life) {
  const [first, last] = [life.steps?.[0], life.steps?.at(-1)];
  if (!first) return "";
  const running = !fate(life).ended;
  const time = running ? performance.now() - life.begun : Date.parse(last.time) - Date.parse(first.time);
  const limit = running && life.ack_timeout ? `, expected within ${span(life.ack_timeout * 1000)}` : "";
  return `(${running && time >= 1000 ? `${Math.floor(time / 1000)} s` : span(time)}${limit})`;
}
