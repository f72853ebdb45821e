// One call: its timeline, its words, and what may be done while it goes on.
import { actions } from "./actions.js";
import { getJson, getPeaks, readRecorded, ask, parsed } from "./api.js";
import { clock, h, note } from "./dom.js";
import { Journal } from "./journal.js";
import { Live } from "./live.js";
import { Overview } from "./overview.js";
import { Player } from "./player.js";
import { STAGE_NAMES, Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

const LIVE_WINDOW_MS = 15000;
const MS_A_POINT = 11;
const SOUND_EVERY_MS = 2000;
const MOST_ASKED = 5;
const MIN_STRETCH_MS = 400;

export function showCall(view, name) {
  const page = new CallPage(view, name);
  page.open().catch((error) => note(error.message));
  return () => page.close();
}

class CallPage {
  constructor(view, name) {
    Object.assign(this, { view, name, closed: false, following: true });
    this.journal = new Journal();
    this.player = new Player(name);
    this.transcript = new Transcript();
    this.title = h("h1", {}, "Call");
    this.facts = h("p", { class: "facts dim" });
    this.badge = h("button", { class: "badge", hidden: true, title: "Follow the call", onclick: () => this.catchUp() }, "live");
    this.at = h("output", { class: "at" }, clock(0));
    this.playButton = h("button", { class: "primary", id: "play", onclick: () => this.player.toggle() }, "▶ Play");
    this.sound = h("span", { class: "dim" });
    this.foot = h("div", {});
  }

  async open() {
    const [rights, recorded, answer] = await Promise.all([
      getJson("/console/rights").catch(() => ({})),
      getJson(`/console/recorded/${this.name}`).catch(() => null),
      ask(`/v1/calls/${this.name.slice(0, 36)}`).catch(() => null),
    ]);
    const state = await answer?.json();
    if (this.closed) return;
    if (!recorded && !state) {
      this.view.append(h("h1", {}, "Call"), h("p", {}, "Nothing is known of this call: it was not recorded, and ended too long ago."));
      return;
    }
    this.rights = rights;
    this.id = recorded?.id || state.id;
    this.recorded = recorded;
    this.live = Boolean(state) && (state.state === "active" || state.state === "ending") && state.id === this.id;
    this.build();
    this.hasSound(recorded?.sound_ms);
    if (this.live) this.follow(Math.max(0, Date.parse(answer.headers.get("Date")) - state.started_at * 1000));
    else if (recorded) await this.read();
    else await this.readKept();
  }

  // Reads the journal of a call that was not recorded, and that the server still knows.
  async readKept() {
    const lines = await (await ask(`/v1/calls/${this.id}/journal`)).text();
    if (this.closed) return;
    this.take(lines.split("\n").filter(Boolean).map(parsed));
    this.first();
  }

  build() {
    const peaks = (from, to, columns) => getPeaks(this.name, from, to, columns);
    this.timeline = new Timeline(this.journal, peaks);
    this.overview = new Overview(this.timeline, peaks);
    const tools = h("div", { class: "tools" }, this.rights.listen ? this.playButton : null, this.at, this.sound, h("span", { class: "space" }),
      h("button", { id: "out", title: "Show more (-)", onclick: () => this.timeline.zoom(1.6) }, "−"),
      h("button", { id: "in", title: "Show less (+)", onclick: () => this.timeline.zoom(1 / 1.6) }, "+"),
      h("button", { id: "fit", title: "Show all (0)", onclick: () => this.timeline.fit() }, "All"));
    this.view.append(
      h("div", { class: "head" }, h("a", { href: "#/calls", class: "back", "aria-label": "Back to the calls" }, "←"), this.title, this.badge),
      this.facts, h("section", { class: "card" }, tools, this.overview.canvas, this.timeline.canvas, legend()), this.foot,
      this.transcript.element);
    this.timeline.addEventListener("choose", (event) => this.play(event.detail));
    this.transcript.addEventListener("choose", (event) => this.play(event.detail));
    this.player.addEventListener("change", () => this.played());
    this.onkey = (event) => this.key(event);
    document.addEventListener("keydown", this.onkey);
    if (this.live && this.rights.act) this.foot.append(actions(this.id));
  }

  // Reads a recorded call's journal page by page, and shows each at once.
  async read() {
    let offset = 0;
    while (!this.closed) {
      const events = [];
      const next = await readRecorded(this.name, offset, (event) => events.push(event));
      if (next === offset) return;
      this.take(events);
      if (offset === 0) this.first();
      offset = next;
    }
  }

  first() {
    const length = this.timeline.lengthMs;
    this.timeline.window(0, Math.min(length * 1.02, this.view.clientWidth * MS_A_POINT)); // so that words have room
    this.overview.fetch();
  }

  // `atMs` is how long the call had gone on, by the server's clock, when it was opened: its last event may be long past.
  follow(atMs) {
    this.badge.hidden = false;
    this.heardMs = atMs;
    this.heardAt = performance.now();
    this.socket = new Live(this.id, (events) => {
      this.take(events);
      this.heardMs = Math.max(this.nowMs, this.journal.lastMs);
      this.heardAt = performance.now();
      if (this.journal.ended) this.over();
    }, () => this.over());
    this.ticker = setInterval(() => this.tick(), 250);
    this.asker = setInterval(() => this.askSound(), SOUND_EVERY_MS);
  }

  // Moves on with the time of a call in progress, between what its events tell.
  tick() {
    this.journal.lastMs = Math.max(this.journal.lastMs, this.nowMs);
    this.describe();
    if (this.following && !this.player.playing) {
      this.at.textContent = clock(this.journal.lastMs);
      const end = this.journal.lastMs + 1500;
      this.timeline.atMs = this.journal.lastMs;
      this.timeline.window(Math.max(0, end - LIVE_WINDOW_MS), Math.max(end, LIVE_WINDOW_MS), false);
    }
  }

  get nowMs() {
    return this.heardMs + performance.now() - this.heardAt;
  }

  catchUp() {
    this.player.pause();
    this.following = true;
  }

  async askSound() {
    const recorded = await getJson(`/console/recorded/${this.name}`).catch(() => null);
    if (this.closed) return;
    if (!recorded) {
      this.asked = (this.asked || 0) + 1;
      if (this.asked === MOST_ASKED) clearInterval(this.asker); // it is not recorded at all
      return;
    }
    this.hasSound(recorded.sound_ms);
    this.overview.fetch();
    this.timeline.fetchSoon();
  }

  over() {
    clearInterval(this.ticker);
    clearInterval(this.asker);
    this.badge.hidden = true;
    this.foot.replaceChildren();
    setTimeout(() => this.closed || this.askSound(), 500);
  }

  hasSound(soundMs) {
    this.timeline.soundMs = soundMs || 0;
    this.player.soundMs = this.rights.listen ? this.timeline.soundMs : 0; // without sound it only moves
    this.playButton.disabled = !soundMs;
    if (!this.rights.listen) this.sound.textContent = "listening is switched off";
    else this.sound.textContent = soundMs ? "" : "not recorded: there is nothing to hear";
  }

  take(events) {
    const changed = new Set(events.flatMap((event) => this.journal.add(event)));
    if (this.live && this.journal.ended) this.journal.lastMs = this.journal.ended.at_ms; // no more an estimate
    const atEnd = window.innerHeight + window.scrollY >= document.body.scrollHeight - 80;
    this.transcript.update(this.journal.entries, changed);
    if (this.live && atEnd && changed.size) window.scrollTo(0, document.body.scrollHeight);
    this.describe();
    this.timeline.draw();
  }

  describe() {
    const { started, ended, lastMs } = this.journal;
    if (!started) return;
    this.title.textContent = `${started.from || "unknown number"}${started.to ? ` → ${started.to}` : ""}`;
    document.title = `${started.from || "call"} – Talkspurt`;
    const when = started.time ? new Date(started.time).toLocaleString() : "";
    const turns = this.journal.entries.filter((entry) => entry.turn?.responseMs).map((entry) => entry.turn.responseMs);
    const middle = turns.sort((one, other) => one - other)[Math.floor(turns.length / 2)];
    this.facts.textContent = [
      when, `agent ${started.agent_name}`, clock(lastMs, false), ended ? `ended: ${ended.reason}` : "",
      middle ? `median wait ${middle} ms` : "", ended?.underrun_frames ? `${ended.underrun_frames} frames late` : "",
    ].filter(Boolean).join(" · ");
  }

  play({ fromMs, toMs }) {
    this.following = false;
    this.timeline.reveal(fromMs);
    this.player.play(fromMs, toMs === null ? Infinity : Math.max(toMs, fromMs + MIN_STRETCH_MS));
  }

  played() {
    this.at.textContent = clock(this.player.atMs);
    this.playButton.textContent = this.player.playing ? "❚❚ Pause" : "▶ Play";
    this.timeline.atMs = this.player.atMs;
    if (this.player.playing) this.timeline.reveal(this.player.atMs);
    this.transcript.mark(this.player.atMs, this.player.playing);
    this.timeline.draw();
  }

  key(event) {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const onButton = event.target.closest("button, a");
    const length = this.timeline.toMs - this.timeline.fromMs;
    const keys = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.player.seek(this.player.atMs - 1000),
      ArrowRight: () => this.player.seek(this.player.atMs + 1000),
      "+": () => this.timeline.zoom(1 / 1.6),
      "-": () => this.timeline.zoom(1.6),
      0: () => this.timeline.fit(),
      PageDown: () => this.timeline.window(this.timeline.fromMs + length, this.timeline.toMs + length),
      PageUp: () => this.timeline.window(this.timeline.fromMs - length, this.timeline.toMs - length),
    };
    if (!keys[event.key] || (onButton && event.key === " ")) return;
    if (event.key.startsWith("Page") && event.target !== this.timeline.canvas) return;
    keys[event.key]();
    event.preventDefault();
  }

  close() {
    this.closed = true;
    clearInterval(this.ticker);
    clearInterval(this.asker);
    this.socket?.close();
    this.player.close();
    this.timeline?.close();
    document.removeEventListener("keydown", this.onkey);
  }
}

function legend() {
  const parts = [["caller", "caller"], ["agent", "agent"], ["bargein", "barge-in"], ["falsely", "false barge-in"],
    ...Object.entries(STAGE_NAMES).map(([stage, text]) => [`stage-${stage}`, text])];
  return h("ul", { class: "legend" }, parts.map(([name, text]) => h("li", { class: `key-${name}` }, text)));
}
