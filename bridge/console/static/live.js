// Follows a call in progress on its events socket, from its first line on, also through a lost connection.
import { Refused, ask, getJson, parsed } from "./api.js";

const AGAIN_MS = 1000;
const LINES_A_FRAME_MS = 50;

export class Live {
  // `take(events)` is given what has come, several at a time; `over()` is called where the call is known no more.
  constructor(id, take, over) {
    this.id = id;
    this.take = take;
    this.over = over;
    this.waiting = [];
    this.closed = false;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/calls/${this.id}/events?journal=1`);
    this.socket.addEventListener("message", (message) => {
      this.waiting.push(parsed(message.data));
      this.timer ||= setTimeout(() => this.hand(), LINES_A_FRAME_MS);
    });
    this.socket.addEventListener("close", () => {
      if (!this.closed) setTimeout(() => this.again(), AGAIN_MS);
    });
  }

  // A socket does not tell why it closed: the connection may be lost, the call over, or the login.
  async again() {
    if (this.closed) return;
    try {
      if ((await getJson(`/v1/calls/${this.id}`)).state !== "ended") return this.connect();
      const lines = await (await ask(`/v1/calls/${this.id}/journal`)).text();
      if (this.closed) return;
      this.closed = true;
      this.take(lines.split("\n").filter(Boolean).map(parsed));
    } catch (error) {
      if (!(error instanceof Refused) || error.status >= 500) setTimeout(() => this.again(), AGAIN_MS);
      else if (!this.closed) {
        this.closed = true;
        this.over();
      }
    }
  }

  hand() {
    this.timer = 0;
    const events = this.waiting;
    this.waiting = [];
    if (events.some((event) => event.type === "call.ended")) this.closed = true;
    this.take(events);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
