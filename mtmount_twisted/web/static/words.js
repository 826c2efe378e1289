// How an entry of the journal is said to people.
//
// Pure: text in, text out; whoever shows it does so as text.

const AXES = ["azimuth", "elevation"];

const number = (fields) => (fields.sequence_id === undefined ? "" : ` of #${fields.sequence_id}`);
const about = ({ active, code, subsystem }, what) => `${active ? what : `${what} over:`} ${code}, ${subsystem}`;

const SAID = {
  ACK: (fields) => `Ack${number(fields)}`,
  DONE: (fields) => `Done${number(fields)}`,
  NOACK: (fields) => `NoAck${number(fields)}: ${fields.explanation}`,
  ON_STATE_INFO: (fields) => fields.description,
  IN_POSITION: (fields) =>
    `${AXES[fields.what] ?? fields.what} ${fields.in_position ? "in position" : "not in position"}`,
  WARNING: (fields) => about(fields, "warning"),
  ERROR: (fields) => about(fields, "error"),
};

// What the mount said, in a few words.
export function word({ kind, fields, text }) {
  const say = fields && SAID[kind];
  return (say && say(fields)) || `${kind} ${text ?? ""}`;
}

const STEPS = {
  received: "received",
  sent: "sent to the mount",
  ack: "acknowledged",
  done: "done",
  noack: "refused by the mount",
  local: "answered here",
};

// One entry as the cells of a row: time, who, what, and the rest.
export function cells(entry) {
  const { peer, type, kind } = entry;
  if (type === "message") {
    const arrow = entry.direction === "from" ? "from" : "to";
    return [entry.time, `${arrow} ${peer}`, kind, entry.text ?? ""];
  }
  if (type === "step") {
    const step = STEPS[entry.step] ?? entry.step.replaceAll("_", " ");
    const text = entry.explanation ? `${step}: ${entry.explanation}` : step;
    return [entry.time, peer, `${entry.command} #${entry.sequence_id}`, text];
  }
  return [entry.time, peer ?? "", String(kind).replaceAll("_", " "), entry.detail ?? ""];
}
