// A complete client of the protocol tma2022 in JavaScript. It needs Node.js 18 or newer, and no package.
//
// It takes command, turns the azimuth axis on, moves it, and gives command up. docs/reference/protocol-tma2022.rst
// explains each line.
//
//     node examples/sockets_tma2022.mjs [PORT [HOST]]        beside .venv/bin/twistd -n mtmount-bridge

import net from "node:net";
import process from "node:process";

const ASK_FOR_COMMAND = 2103, AZIMUTH_POWER = 101, AZIMUTH_MOVE = 103, HEARTBEAT = 3000;
const ACKNOWLEDGED = 1, REJECTED = 2, SUCCEEDED = 3, FAILED = 4, SUPERSEDED = 5; // answers; all others are events
const CSC = 1, NONE = 0; // commanders; the first is also the source of the commands here

const ACK_WITHIN = 10, GRACE = 5, UNKNOWN_TIMEOUT = 300; // seconds
const LONGEST_LINE = 4 * 2 ** 20; // the settings of the mount are one line
const TAI_MINUS_UTC = 37;

class Mount {
  #socket;
  #received = "";
  #number = 0;
  #waiting = new Map(); // from the number of a command to {code, resolve, reject, timer}
  #heart = null;

  /** Connect; the promise is rejected if that fails. */
  static connect(port, host) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Mount(socket));
      });
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.setEncoding("utf8"); // it also joins a character that arrives in two pieces
    socket.on("data", (text) => this.#read(text));
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#lose());
  }

  /** Close the connection. Give command up before: else the mount stops 5 s after the last heartbeat. */
  close() {
    clearInterval(this.#heart);
    this.#socket.end();
  }

  async takeCommand() {
    await this.do(ASK_FOR_COMMAND, CSC);
    this.#heart = setInterval(() => this.#send(0, HEARTBEAT), 1000);
  }

  async giveUpCommand() {
    clearInterval(this.#heart);
    await this.do(ASK_FOR_COMMAND, NONE);
  }

  /** Send a command. The promise is fulfilled at its success, and rejected if the mount rejects it, it fails, its
   *  end does not come in time, or the connection is lost: the mount may then have done it or not. */
  do(code, ...parameters) {
    const number = ++this.#number;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { code, resolve, reject });
      this.#wait(number, ACK_WITHIN);
      this.#send(number, code, ...parameters);
    });
  }

  #send(number, code, ...parameters) {
    const timestamp = Date.now() / 1000 + TAI_MINUS_UTC;
    this.#socket.write([number, code, CSC, timestamp, ...parameters].join("\n") + "\r\n");
  }

  #wait(number, seconds) {
    const command = this.#waiting.get(number);
    clearTimeout(command.timer);
    command.timer = setTimeout(() => this.#end(number, "no reply in time"), seconds * 1000);
  }

  #end(number, why) {
    const command = this.#waiting.get(number);
    this.#waiting.delete(number);
    clearTimeout(command.timer);
    if (why === null) command.resolve();
    else command.reject(new Error(`command ${number} (code ${command.code}): ${why}`));
  }

  #read(text) {
    const lines = (this.#received + text).split("\r\n");
    this.#received = lines.pop(); // the beginning of a line whose end has not come yet
    if (this.#received.length > LONGEST_LINE) this.#socket.destroy();
    for (const line of lines) this.#take(JSON.parse(line));
  }

  #take({ id, parameters }) {
    if (id < ACKNOWLEDGED || id > SUPERSEDED) {
      console.log("event", id, JSON.stringify(parameters).slice(0, 70));
      return;
    }
    const number = parameters.sequenceId;
    const command = this.#waiting.get(number);
    if (command === undefined) return; // it answers a heartbeat, or a command that nothing waits for any more
    if (id === ACKNOWLEDGED) {
      const timeout = parameters.timeout > 0 ? parameters.timeout : UNKNOWN_TIMEOUT;
      console.log(`command ${number} (code ${command.code}): acknowledged, takes up to ${timeout} s`);
      this.#wait(number, timeout + GRACE);
    } else if (id === SUCCEEDED) {
      console.log(`command ${number} (code ${command.code}): done`);
      this.#end(number, null);
    } else if (id === SUPERSEDED) this.#end(number, "a later command replaced it");
    else if (id === REJECTED || id === FAILED) this.#end(number, parameters.explanation);
  }

  #lose() {
    clearInterval(this.#heart);
    for (const number of [...this.#waiting.keys()]) this.#end(number, "the connection was lost");
  }
}

const [port = "30015", host = "127.0.0.1"] = process.argv.slice(2);
try {
  const mount = await Mount.connect(Number(port), host);
  try {
    await mount.takeCommand();
    try {
      await mount.do(AZIMUTH_POWER, 1);
      await mount.do(AZIMUTH_MOVE, 5, 0, 0, 0); // position, velocity, acceleration, jerk
    } finally {
      await mount.giveUpCommand();
    }
  } finally {
    mount.close();
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
