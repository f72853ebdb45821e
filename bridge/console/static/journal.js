// A call as its journal tells it: who said what when, who had the floor, and what was waited for.
const HIDDEN = new Set(["caller.started", "caller.stopped", "floor.changed", "agent.silenced", "turn.done"]);
const MARKS = {
  "tool.done": (event) => ["tool", `${event.tool}(${event.arguments}) → ${event.result}`, event.at_ms - event.took_ms],
  dtmf: (event) => ["key", event.digit],
  "hold.began": () => ["hold", "on hold"],
  "hold.ended": () => ["hold", "back from hold"],
  "call.answered_by": (event) => ["call", `answered by ${event.who}`],
  "call.handed_over": (event) => ["transfer", `handed over to ${event.agent_name}`],
  "caller.changed": (event) => ["transfer", `now with ${event.from}`],
  "language.switched": (event) => ["call", `goes on in ${event.language}`],
  "transfer.briefed": (event) => ["transfer", `${event.destination} is told of the call`],
  "transfer.done": (event) => ["transfer", `${event.destination}: ${event.outcome}`],
  fault: (event) => ["fault", `${event.service}: ${event.problem}`],
  "call.ended": (event) => ["call", `ended: ${event.reason}${event.next && event.next !== "hangup" ? ` → ${event.next}` : ""}`],
};

export class Journal {
  constructor() {
    this.started = null;
    this.ended = null;
    this.lastMs = 0;
    this.number = 0;
    this.entries = [];
    this.floor = [];
    this.speech = [];
    this.pauses = [];
    this.stages = [];
    this.marks = [];
    this.speakingSince = null;
  }

  // Takes an event; returns the entries that are new or have changed.
  add(event) {
    if (event.number && event.number <= this.number) return [];
    this.number = event.number || this.number;
    this.lastMs = Math.max(this.lastMs, event.at_ms || 0, event.end_ms || 0);
    switch (event.type) {
      case "call.started":
        this.started = event;
        return [];
      case "floor.changed":
        this.close(this.floor, event.at_ms);
        this.floor.push({ startMs: event.at_ms, endMs: null, floor: event.floor });
        return [];
      case "caller.started":
        this.speech.push({ startMs: event.start_ms, endMs: null });
        return [];
      case "caller.stopped":
        this.close(this.speech, event.end_ms);
        return [];
      case "transcript.user":
        return this.enter({ kind: "user", text: event.text, startMs: event.start_ms, endMs: event.end_ms });
      case "transcript.agent":
        return this.enter({
          kind: "agent", text: event.text, unheard: event.unheard || "", interrupted: event.interrupted,
          startMs: event.start_ms, endMs: event.end_ms, turn: null,
        });
      case "turn.done":
        return this.addTurn(event);
      case "response.started":
        this.speakingSince = event.at_ms;
        return [];
      case "response.paused":
        this.pauses.push({ startMs: event.at_ms, endMs: null, outcome: "" });
        return [];
      case "response.resumed":
        return this.pauseEnds(event.at_ms, "resumed");
      case "response.interrupted":
        this.speakingSince = null;
        return this.interrupted(event);
      case "response.done":
        this.speakingSince = null;
        return [];
    }
    if (event.type === "call.ended") this.end(event);
    if (HIDDEN.has(event.type) || !MARKS[event.type]) return [];
    const [kind, text, startMs] = MARKS[event.type](event);
    const mark = { kind, text, startMs: Math.max(0, startMs ?? event.at_ms), endMs: event.at_ms };
    this.marks.push(mark);
    return this.enter(mark);
  }

  enter(entry) {
    // Texts come when they are over, and those of both sides overlap: the list is in the order of beginnings.
    let index = this.entries.length;
    while (index > 0 && this.entries[index - 1].startMs > entry.startMs) index -= 1;
    this.entries.splice(index, 0, entry);
    return [entry];
  }

  addTurn(event) {
    const turn = { number: event.turn, stages: event.stages, responseMs: event.response_ms };
    for (const stage of event.stages)
      this.stages.push({ turn: event.turn, stage: stage.stage, startMs: stage.start_ms, endMs: stage.end_ms });
    const playing = event.stages.find((stage) => stage.stage === "playing");
    const entry = playing && this.entries.findLast(
      (each) => each.kind === "agent" && !each.turn && Math.abs(each.startMs - playing.start_ms) < 100);
    if (!entry) return [];
    entry.turn = turn;
    return [entry];
  }

  pauseEnds(atMs, outcome) {
    const pause = this.pauses.at(-1);
    if (!pause || pause.endMs !== null) return [];
    Object.assign(pause, { endMs: atMs, outcome });
    if (outcome !== "resumed") return [];
    return this.enter({ kind: "pause", text: "paused for a sound, and went on", startMs: pause.startMs, endMs: atMs });
  }

  interrupted(event) {
    this.pauseEnds(event.at_ms, "interrupted");
    const last = this.pauses.at(-1);
    const startMs = last && last.endMs === event.at_ms ? last.startMs : event.at_ms;
    if (!last || last.endMs !== event.at_ms)
      this.pauses.push({ startMs, endMs: event.at_ms, outcome: "interrupted" });
    return this.enter({ kind: "barge-in", text: `interrupted: ${event.reason}`, startMs, endMs: event.at_ms });
  }

  close(stretches, atMs) {
    const last = stretches.at(-1);
    if (last && last.endMs === null) last.endMs = atMs;
  }

  end(event) {
    this.ended = event;
    this.speakingSince = null;
    for (const stretches of [this.floor, this.speech, this.pauses]) this.close(stretches, event.at_ms);
  }
}

// The words of a text, each with the time at which it was said, in proportion to its letters.
export function words(entry) {
  const texts = entry.text.split(/\s+/).filter(Boolean);
  const letters = texts.reduce((sum, text) => sum + text.length + 1, 0) || 1;
  const msPerLetter = (entry.endMs - entry.startMs) / letters;
  let at = entry.startMs;
  return texts.map((text) => {
    const startMs = at;
    at += (text.length + 1) * msPerLetter;
    return { text, startMs, endMs: at };
  });
}
