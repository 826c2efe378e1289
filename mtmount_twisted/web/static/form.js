// A form for any command of the catalogue: units, defaults, and each fault at its field.
//
// It has lists and radio buttons and no menus: while a menu is open the browser keeps every key from the
// page, that of STOP too.
//
// It touches its own form, the API's catalogue, and sends by commands.js.

import { ApiError, getCatalogue } from "./api.js";
import { fate } from "./commands.js";
import { byId, make, write } from "./dom.js";
import { fieldsOf, groups, hint, read, words } from "./schema.js";

export function form(store, commands) {
  const chooser = byId("command");
  const status = byId("form-status");
  let catalogue = {};
  let fields = [];
  let mark = null;

  async function load() {
    if (chooser.options.length) return;
    catalogue = (await getCatalogue()).commands;
    list();
    chooser.selectedIndex = -1; // none: a slip of the finger on "Send" sends nothing
  }

  // The commands whose name holds what was typed; the one that is chosen stays while it is there.
  function list() {
    const chosen = chooser.value;
    const wanted = byId("command-find").value.toLowerCase().replaceAll(" ", "");
    const option = (name) => make("option", { value: name, selected: name === chosen }, words(name));
    const found = groups(catalogue).map(({ group, names }) => {
      const fitting = names.filter((name) => name.toLowerCase().includes(wanted));
      return fitting.length ? make("optgroup", { label: group }, ...fitting.map(option)) : null;
    });
    chooser.replaceChildren(...found.filter(Boolean));
  }

  function find() {
    list();
    if (chooser.selectedIndex < 0) chooser.selectedIndex = 0;
    choose();
  }

  function choose() {
    const command = catalogue[chooser.value];
    if (command === undefined) return;
    fields = fieldsOf(command);
    write(byId("command-doc"), command.doc);
    byId("parameters").replaceChildren(...fields.map(fieldset));
    tell("", false);
    mark = null;
  }

  function tell(text, bad) {
    status.classList.toggle("bad", bad);
    write(status, text);
  }

  // Marks the fields that are wrong, clears the others; gives what no field is for.
  function showFaults(faults) {
    for (const field of fields) {
      const why = faults.get(field.name) ?? "";
      write(byId(`fault-${field.name}`), why);
      for (const input of inputs(field)) input.setAttribute("aria-invalid", String(why !== ""));
      faults.delete(field.name);
    }
    byId("parameters").querySelector("[aria-invalid=true]")?.focus();
    return [...faults].map(([where, why]) => `${where}: ${why}`);
  }

  async function submit(event) {
    event.preventDefault();
    if (!(chooser.value in catalogue)) return tell("No command is chosen.", true);
    const parameters = {};
    const faults = new Map();
    for (const field of fields) {
      const { value, fault } = read(field, typed(field));
      if (fault) faults.set(field.name, fault);
      else if (value !== undefined) parameters[field.name] = value;
    }
    const wrong = faults.size;
    showFaults(faults);
    if (wrong) return tell("Not sent: see the fields.", true);
    await send(chooser.value, parameters);
  }

  async function send(name, parameters) {
    tell(`${words(name)}: sending`, false);
    mark = null;
    try {
      const life = await commands.send(name, parameters);
      mark = life.mark;
      follow(life);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const faults = new Map(error.faults.map(({ where, why }) => [where.replace(/^parameters\./, ""), why]));
      const others = showFaults(faults);
      tell(`Not sent: ${[error.message, ...others].join("; ")}.`, true);
    }
  }

  function follow(life) {
    if (life.mark !== mark) return;
    const { text, ended, good } = fate(life);
    tell(`${words(life.command)}: ${text}${life.explanation ? ` (${life.explanation})` : ""}`, ended && !good);
  }

  store.on("lives", follow);
  store.on("state", () => {
    byId("send").disabled = !store.state.you.roles.some((role) => role !== "observe");
  });
  chooser.addEventListener("change", choose);
  byId("command-find").addEventListener("input", find);
  byId("command-form").addEventListener("submit", submit);
  return { load };
}

const inputs = (field) => document.querySelectorAll(`#parameters [name="${CSS.escape(field.name)}"]`);

function typed(field) {
  const all = [...inputs(field)];
  return (isChoice(field) ? all.find((input) => input.checked) : all[0])?.value ?? "";
}

function fieldset(field) {
  const [doc, fault] = [`doc-${field.name}`, `fault-${field.name}`];
  const about = [field.doc, hint(field)].filter(Boolean).join(" ");
  const name = field.label[0].toUpperCase() + field.label.slice(1);
  const tail = [make("p", { class: "doc", id: doc }, about), make("p", { class: "fault", id: fault })];
  const common = { name: field.name, "aria-describedby": `${doc} ${fault}`, "aria-invalid": "false" };
  if (isChoice(field)) return choices(field, name, common, tail);
  const unit = field.unit ? make("span", { id: `unit-${field.name}` }, field.unit) : null;
  const label = make("label", { for: `value-${field.name}` }, name, field.required ? "" : " (optional)");
  return make("div", { class: "field" }, label, make("div", { class: "entry" }, line(field, common), unit), ...tail);
}

function line(field, common) {
  const described = field.unit ? `unit-${field.name} ${common["aria-describedby"]}` : common["aria-describedby"];
  return make("input", {
    ...common,
    "aria-describedby": described,
    id: `value-${field.name}`,
    type: "text",
    autocomplete: "off",
    spellcheck: "false",
    "aria-required": String(field.required),
    placeholder: field.default === undefined ? null : String(field.default),
  });
}

const isChoice = (field) => field.type === "boolean" || field.type === "enum";

function choices(field, name, common, tail) {
  const both = field.name === "on" ? ["on", "off"] : ["yes", "no"];
  const all = field.type === "enum" ? field.choices.map((choice) => [choice, choice]) : [["true", both[0]], ["false", both[1]]];
  const buttons = all.map(([value, text]) => {
    const input = make("input", { ...common, type: "radio", value, checked: String(field.default) === value });
    return make("label", { class: "choice" }, input, text);
  });
  const legend = make("legend", {}, name);
  return make("fieldset", { class: "field" }, legend, make("div", { class: "entry" }, ...buttons), ...tail);
}
