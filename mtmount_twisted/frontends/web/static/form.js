// A form for any command of the catalogue: units, defaults, and each fault at its field.
//
// A command is sent by its Send button, or by Enter in a field of a command that the user chose; in no other way. The
// form has lists and radio buttons and no menus: while a menu is open, the browser withholds every key from the page,
// also that of STOP.
//
// It touches its own form, the API's catalogue, and sends by commands.js. It commands the real mount, and is off while the
// page shows the past.

import { ApiError, getCatalogue } from "./api.js";
import { fate } from "./commands.js";
import { byId, make, write } from "./dom.js";
import { fieldsOf, groups, hint, isElsewhere, meant, read, words } from "./schema.js";

const ONCE = 500; // ms in which the same command with the same values is sent once

export function form(store, shown, commands) {
  const [find, chooser, status] = [byId("command-find"), byId("command"), byId("form-status")];
  let catalogue = {};
  let fields = [];
  let chosen = false; // whether the user chose the command, rather than Find by leaving only one
  let asked = null; // the latest command, {key, at}, until another is on display
  let mark = null;

  async function load() {
    if (chooser.options.length) return;
    catalogue = (await getCatalogue()).commands;
    store.setCatalogue(catalogue);
    list();
    chooser.selectedIndex = -1; // none: an accidental press of "Send" sends nothing
  }

  // List the commands that match the typed text; the one on display stays while it is among them.
  function list() {
    const shown = chooser.value;
    const option = (name) => make("option", { value: name, selected: name === shown }, words(name));
    const is = [];
    const found = groups(catalogue).map(({ group, names }) => {
      const fitting = names.filter((name) => {
        const how = meant(name, catalogue[name], find.value);
        if (how === "is") is.push(name);
        return how !== "no";
      });
      return fitting.length ? make("optgroup", { label: group }, ...fitting.map(option)) : null;
    });
    chooser.replaceChildren(...found.filter(Boolean));
    return is;
  }

  // Filter the list. An unambiguous command is displayed at once; Enter chooses it.
  function narrow() {
    const shown = chooser.value;
    const is = list();
    const { options } = chooser;
    if (is.length === 1) chooser.value = is[0];
    else if (options.length === 1) chooser.selectedIndex = 0;
    else if (chooser.value !== shown) chooser.selectedIndex = -1;
    write(byId("command-none"), options.length ? "" : nothing(find.value.trim()));
    if (chooser.value !== shown) showCommand();
  }

  function nothing(typed) {
    if (isElsewhere(catalogue, typed)) return "To take or give up command, use the buttons above.";
    return `No command matches “${typed}”.`;
  }

  // Enter in Find sends nothing: it moves the focus to the list.
  function enterFind(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (!chooser.options.length) return;
    chooser.focus();
    choose();
  }

  function choose() {
    chosen = chooser.value !== "";
  }

  function showCommand() {
    const command = catalogue[chooser.value];
    chosen = false;
    fields = command === undefined ? [] : fieldsOf(command);
    write(byId("command-doc"), command?.doc ?? "No command is chosen.");
    write(byId("send"), command === undefined ? "Send" : `Send: ${words(chooser.value)}`);
    byId("parameters").replaceChildren(...fields.map(fieldset));
    tell("", false);
    mark = asked = null;
  }

  // Enter in a field sends the chosen command, once even if the key is held down.
  function enterField(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (event.repeat) return;
    if (chosen) submit();
    else tell("Not sent: choose the command in the list first, or press Send.", true);
  }

  function tell(text, bad) {
    status.classList.toggle("bad", bad);
    write(status, text);
  }

  // Mark the wrong fields and clear the others; return the faults that belong to no field. The focus moves only if it
  // is in this form or nowhere, so that it never leaves a field in which the user types.
  function showFaults(faults) {
    for (const field of fields) {
      const why = faults.get(field.name) ?? "";
      write(byId(`fault-${field.name}`), why);
      for (const input of inputs(field)) input.setAttribute("aria-invalid", String(why !== ""));
      faults.delete(field.name);
    }
    const { activeElement: active } = document;
    if (active === document.body || byId("command-form").contains(active)) {
      byId("parameters").querySelector("[aria-invalid=true]")?.focus();
    }
    return [...faults].map(([where, why]) => `${where}: ${why}`);
  }

  async function submit() {
    if (byId("send").disabled) return tell(shown.at === null ? "Not sent: you may not command." : "Not sent: this is a recording.", true);
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
    if (wrong) return tell("Not sent: correct the marked fields.", true);
    await send(chooser.value, parameters);
  }

  async function send(name, parameters) {
    const key = JSON.stringify([name, parameters]);
    const at = performance.now();
    if (asked?.key === key && at - asked.at < ONCE) return; // a double press: the command was sent
    const mine = (asked = { key, at });
    tell(`${words(name)}: sending`, false);
    mark = null;
    try {
      const life = await commands.send(name, parameters);
      if (asked !== mine) return;
      mark = life.mark;
      follow(life);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (asked !== mine) return tell(`${words(name)} was not sent: ${error.message}.`, true); // its fields are no longer on display
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
  store.on("state moment", () => {
    const may = store.state?.you.roles.some((role) => role !== "observe") ?? false;
    byId("send").disabled = !may || shown.at !== null;
  });
  chooser.addEventListener("change", () => {
    showCommand();
    choose();
  });
  chooser.addEventListener("click", choose);
  chooser.addEventListener("keydown", ({ key }) => key === "Enter" && choose());
  find.addEventListener("input", narrow);
  find.addEventListener("keydown", enterFind);
  byId("parameters").addEventListener("keydown", enterField);
  byId("command-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  // Show a command, and the others that Find lists with it; nothing is sent.
  function prepare(name, text) {
    find.value = text;
    list();
    chooser.value = name;
    showCommand();
    write(byId("command-none"), "");
    chooser.focus();
  }

  return { load, prepare };
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
