// Finds the command of an answer, from the steps of earlier commands.
//
// Values only: it touches neither page nor network.

const MOST = 2000; // commands
const OWN_IDS = new Set(["controller", "observers", "everyone"]); // their messages have the bridge's ids
const TRACK = /(Track|TrackTarget|_TRACK|_TRACK_TARGET)$/; // the class of a command, or the name of its code
const ACKS = new Set(["ACK", "CMD_ACKNOWLEDGED"]); // in tma2020, in tma2022

const HARMLESS = new Set(["received", "sent", "ack"]); // steps of a track command that went well

function keep(map, key, value) {
  map.delete(key); // the newest is last
  map.set(key, value);
  if (map.size > MOST) map.delete(map.keys().next().value);
}

export class Names {
  constructor() {
    this.commands = new Map(); // a command's key, by which the mount answers -> "AzimuthAxisMove of csc"
    this.tracks = new Map(); // the ids of track commands, as "PEER ID", or " KEY" -> true
  }

  // Remember the command of a step's key.
  note({ type, key, command, peer, sequence_id: id }) {
    if (type !== "step") return;
    keep(this.commands, key, `${command} of ${peer}`);
    if (TRACK.test(command)) {
      keep(this.tracks, ` ${key}`, true);
      keep(this.tracks, `${peer} ${id}`, true);
    } else this.tracks.delete(`${peer} ${id}`); // a commander may use an id again
  }

  // Whether an entry belongs to a successful track command: the command, its Ack, or a step before its end. A rejection
  // or a time-out does not.
  isTracking({ type, kind, peer, command, step, sequence_id: id }) {
    if (type === "step") return TRACK.test(command) && HARMLESS.has(step);
    if (type !== "message") return false;
    if (ACKS.has(kind)) return this.tracks.has(OWN_IDS.has(peer) ? ` ${id}` : `${peer} ${id}`);
    return TRACK.test(kind);
  }
}
