// Finds what was asked of an axis last, in the commands that pass here: for a mount that tells no positions.
//
// Pure: an entry of the journal in, targets out.

const TARGETS = [
  [/^AZIMUTH_AXIS_(MOVE|TRACK)$|^AZIMUTH_(MOVE|TRACK_TARGET)$/, { azimuth: "position" }],
  [/^ELEVATION_AXIS_(MOVE|TRACK)$|^ELEVATION_(MOVE|TRACK_TARGET)$/, { elevation: "position" }],
  [/^BOTH_AXES_(MOVE|TRACK|TRACK_TARGET)$/, { azimuth: "azimuth", elevation: "elevation" }],
];

// The targets in a command of a commander: {azimuth, elevation}, each {value, time, by, how}; null for anything else.
export function targetsIn({ type, kind, direction, peer, is_command: isCommand, fields, time }) {
  if (type !== "message" || !isCommand || direction !== "from" || !fields) return null;
  const found = TARGETS.find(([names]) => names.test(kind));
  if (found === undefined) return null;
  const how = kind.includes("TRACK") ? "track" : "move";
  const targets = {};
  for (const [axis, field] of Object.entries(found[1])) {
    const value = fields[field];
    if (typeof value === "number") targets[axis] = { value, time, by: peer, how };
  }
  return targets;
}
