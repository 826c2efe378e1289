// Turns the catalogue's JSON Schema into the fields of a form, and typed text into JSON values.
//
// Pure: values only. The daemon validates again; this check reports a slip before the page sends anything.

const NOT_HERE = new Set(["AskForCommand"]); // another panel takes and gives up command

// Split a name into words: AzimuthAxisMove -> Azimuth axis move; azimuth_velocity -> azimuth velocity.
export function words(name) {
  const parts = name.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").split(" ");
  return parts.map((part, index) => (index ? part.toLowerCase() : part)).join(" ");
}

// Group the commands by device, as [{group, names}]; single ones are in "Other".
export function groups(commands) {
  const found = new Map();
  for (const [name, { code }] of Object.entries(commands)) {
    if (NOT_HERE.has(name)) continue;
    const hundred = Math.floor(code / 100);
    found.set(hundred, [...(found.get(hundred) ?? []), name]);
  }
  const result = new Map();
  for (const names of found.values()) {
    const group = names.length > 1 ? words(commonWords(names)) || "Mount" : "Other";
    result.set(group, [...(result.get(group) ?? []), ...names]);
  }
  return [...result].map(([group, names]) => ({ group, names }));
}

// Match a command with the text in Find: "no", "fits" or "is". The text may be any name of the command in the product,
// such as AzimuthAxisMove, az_move and 103. A part of a name fits, and so do beginnings of its words in any order. A line
// of the prompt, such as "az_move 10", is its command.
export function meant(name, command, typed) {
  const wanted = typed.toLowerCase().split(/[\s_.-]+/).filter(Boolean);
  const how = meantBy(name, command, wanted);
  const value = wanted.findIndex((part, index) => index > 0 && /^\+?\d|=/.test(part));
  return how === "no" && value > 0 ? meantBy(name, command, wanted.slice(0, value)) : how;
}

// Whether the text names a command of another panel.
export function isElsewhere(commands, typed) {
  const all = [...NOT_HERE].filter((name) => name in commands);
  return all.some((name) => meant(name, commands[name], typed) !== "no");
}

function meantBy(name, { code, short_name: short }, wanted) {
  const whole = wanted.join("");
  const names = [words(name).toLowerCase(), short];
  const joined = [...names.map((each) => each.replaceAll(/[ _]/g, "")), String(code)];
  if (joined.includes(whole)) return "is";
  if (joined[2].startsWith(whole) || joined.some((each) => /\D/.test(whole) && each.includes(whole))) return "fits";
  return names.some((each) => beginnings(each.split(/[ _]/), wanted)) ? "fits" : "no";
}

function beginnings(all, wanted) {
  const rest = [...all];
  return wanted.every((start) => {
    const index = rest.findIndex((word) => word.startsWith(start));
    if (index >= 0) rest.splice(index, 1);
    return index >= 0;
  });
}

function commonWords(names) {
  const split = names.map((name) => name.match(/[A-Z][a-z]*/g) ?? [name]);
  const first = split[0].slice(0, -1);
  const length = first.findIndex((word, index) => split.some((other) => other[index] !== word));
  return first.slice(0, length < 0 ? first.length : length).join("");
}

// The properties of each parameter's field, in the order of declaration.
export function fieldsOf(command) {
  const { properties = {}, required = [] } = command.parameters;
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    label: words(name),
    type: schema["x-enum"] || schema.enum ? "enum" : schema.type,
    choices: schema["x-enum"] ? Object.keys(schema["x-enum"]) : (schema.enum ?? []),
    unit: schema["x-unit"] ?? "",
    doc: schema.description ?? "",
    required: required.includes(name),
    default: schema.default,
    minimum: schema.minimum,
    maximum: schema.maximum,
  }));
}

// The permitted values in words; "" if the field itself shows them.
export function hint(field) {
  const said = [];
  if (field.minimum !== undefined && field.maximum !== undefined) {
    said.push(`${field.minimum} to ${field.maximum}`);
  } else if (field.minimum !== undefined) said.push(`at least ${field.minimum}`);
  else if (field.maximum !== undefined) said.push(`at most ${field.maximum}`);
  if (field.type === "integer") said.push("a whole number");
  if (field.default !== undefined && field.type !== "boolean") said.push(`${field.default} if left empty`);
  return said.join(", ");
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

// Typed text -> {value}, {fault}, or {} if the daemon's default applies.
export function read(field, typed) {
  const text = typed.trim();
  if (text === "") return field.required ? { fault: "A value is required." } : {};
  if (field.type === "boolean") return { value: text === "true" };
  if (field.type === "enum" || field.type === "string") return { value: text };
  const number = NUMBER.test(text.replace("−", "-")) ? Number(text.replace("−", "-")) : NaN;
  if (!Number.isFinite(number)) return { fault: `Enter a number${inUnit(field)}, such as 12.5.` };
  if (field.type === "integer" && !Number.isSafeInteger(number)) return { fault: "Enter a whole number." };
  if (number < field.minimum) return { fault: `The minimum is ${field.minimum}${inUnit(field, "")}.` };
  if (number > field.maximum) return { fault: `The maximum is ${field.maximum}${inUnit(field, "")}.` };
  return { value: number };
}

const inUnit = (field, before = " in") => (field.unit ? `${before} ${field.unit}` : "");
