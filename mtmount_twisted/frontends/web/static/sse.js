// Parses server-sent events from text in arbitrary pieces.
//
// Pure: it touches neither the network nor the page. The browser's EventSource can send no Authorization
// header, and a token must not stand in a URL; so the stream is read by stream.js and parsed here.

const LONGEST = 1 << 20; // characters of one event; the daemon sends none longer

export class SseParser {
  // onEvent is called with {type, data, id}, data being text; onComment with the text after the colon.
  constructor(onEvent, onComment = () => {}) {
    this.onEvent = onEvent;
    this.onComment = onComment;
    this.lastId = "";
    this.rest = "";
    this.forget();
  }

  forget() {
    this.type = "";
    this.data = [];
    this.size = 0;
  }

  feed(text) {
    // A CR at the end may be half of a CR LF: wait for the next piece.
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    if (this.rest.length > LONGEST) throw new Error("an event without an end");
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === "") return this.end();
    if (line.startsWith(":")) return this.onComment(line.slice(1).trim());
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") {
      this.size += value.length;
      if (this.size > LONGEST) throw new Error("an event without an end");
      this.data.push(value);
    } else if (name === "event") this.type = value;
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
  }

  end() {
    const { type, data } = this;
    this.forget();
    if (data.length) this.onEvent({ type: type || "message", data: data.join("\n"), id: this.lastId });
  }
}
