// Draws a call along its time: both sides' sound and words, who has the floor, barge-ins, and what was waited for.
import { clock, h } from "./dom.js";
import { words } from "./journal.js";

const RULER = 18;
const WAVE = 52;
const WORDS = 17;
const LANE = 9;
const MOST_MOVED = 60; // points by which a word may stand behind its time, so that its neighbours have room
const TOP = { caller: RULER, callerWords: RULER + WAVE, agent: RULER + WAVE + WORDS + 4 };
TOP.agentWords = TOP.agent + WAVE;
TOP.floor = TOP.agentWords + WORDS + 5;
TOP.stages = TOP.floor + 12;
TOP.marks = TOP.stages + 2 * LANE + 6;
const HEIGHT = TOP.marks + 18;
const STEPS_MS = [200, 500, 1000, 2000, 5000, 10000, 30000, 60000, 300000, 600000, 1800000];
const MIN_WINDOW_MS = 1000;
export const STAGE_NAMES = {
  end_of_turn: "end of turn", recogniser: "recogniser", model: "model", first_sentence: "first sentence",
  first_sound: "first sound", first_frame: "first frame",
};

export class Timeline extends EventTarget {
  // `peaks(fromMs, toMs, columns)` returns a promise of the peaks of a stretch, or is null where there is no sound.
  constructor(journal, peaks) {
    super();
    this.journal = journal;
    this.peaks = peaks;
    this.fromMs = 0;
    this.toMs = 10000;
    this.atMs = 0;
    this.regions = [];
    this.shown = null;
    this.canvas = h("canvas", {
      class: "timeline", tabindex: 0, role: "img",
      "aria-label": "The call along its time. Arrow keys move, plus and minus zoom, space plays.",
    });
    this.canvas.height = HEIGHT;
    this.listen();
    this.observer = new ResizeObserver(() => this.window(this.fromMs, this.toMs));
    this.observer.observe(this.canvas);
  }

  get lengthMs() {
    return Math.max(this.journal.lastMs, this.soundMs || 0, 1000);
  }

  // Shows this stretch of the call. A call in progress moves on more often than there is new sound to fetch.
  window(fromMs, toMs, fetches = true) {
    const length = Math.max(MIN_WINDOW_MS, toMs - fromMs);
    const start = Math.max(0, Math.min(fromMs, Math.max(0, this.lengthMs - length * 0.5)));
    this.fromMs = start;
    this.toMs = start + length;
    if (fetches) this.fetchSoon();
    this.draw();
    this.dispatchEvent(new Event("window"));
  }

  zoom(factor, aroundMs = (this.fromMs + this.toMs) / 2) {
    const length = Math.min((this.toMs - this.fromMs) * factor, this.lengthMs * 1.05);
    const share = (aroundMs - this.fromMs) / (this.toMs - this.fromMs);
    this.window(aroundMs - length * share, aroundMs + length * (1 - share));
  }

  fit() {
    this.window(0, this.lengthMs * 1.02);
  }

  reveal(atMs) {
    const length = this.toMs - this.fromMs;
    if (atMs < this.fromMs || atMs > this.toMs - length * 0.1) this.window(atMs - length * 0.2, atMs + length * 0.8);
  }

  fetchSoon(delayMs = 60) {
    if (!this.peaks || !this.soundMs) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const columns = Math.max(100, Math.min(4000, Math.round(this.canvas.clientWidth)));
      const [fromMs, toMs] = [this.fromMs, this.toMs];
      const peaks = await this.peaks(fromMs, toMs, columns).catch(() => null);
      if (!peaks) return;
      this.shown = { fromMs, toMs, peaks };
      this.draw();
    }, delayMs);
  }

  x(ms) {
    return ((ms - this.fromMs) / (this.toMs - this.fromMs)) * this.width;
  }

  draw() {
    if (this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.paint();
    });
  }

  paint() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    if (!this.width) return;
    this.canvas.width = this.width * ratio;
    this.canvas.height = HEIGHT * ratio;
    const style = getComputedStyle(this.canvas);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const pen = (this.pen = this.canvas.getContext("2d"));
    pen.scale(ratio, ratio);
    pen.clearRect(0, 0, this.width, HEIGHT);
    pen.font = `11px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    this.regions = [];
    this.paintRuler();
    this.paintPauses();
    this.paintWave(0, TOP.caller, this.colour("caller"));
    this.paintWave(1, TOP.agent, this.colour("agent"));
    this.paintWords();
    this.paintFloor();
    this.paintStages();
    this.paintMarks();
    const at = this.x(this.atMs);
    pen.fillStyle = this.colour("accent");
    pen.fillRect(at - 0.75, 0, 1.5, HEIGHT);
  }

  paintRuler() {
    const pxPerMs = this.width / (this.toMs - this.fromMs);
    const step = STEPS_MS.find((each) => each * pxPerMs > 70) || 3600000;
    this.pen.fillStyle = this.colour("dim");
    for (let ms = Math.ceil(this.fromMs / step) * step; ms < this.toMs; ms += step) {
      this.pen.fillText(clock(ms, step < 1000), this.x(ms) + 4, RULER / 2);
      this.pen.globalAlpha = 0.25;
      this.pen.fillRect(this.x(ms), 0, 1, HEIGHT);
      this.pen.globalAlpha = 1;
    }
  }

  paintPauses() {
    for (const pause of this.visible(this.journal.pauses)) {
      const is = pause.outcome === "interrupted";
      const end = pause.endMs ?? this.lengthMs;
      this.pen.fillStyle = this.colour(is ? "bargein" : "falsely");
      this.pen.globalAlpha = is ? 0.28 : 0.22;
      const width = Math.max(3, this.x(end) - this.x(pause.startMs));
      this.pen.fillRect(this.x(pause.startMs), TOP.caller, width, TOP.floor - TOP.caller - 4);
      this.pen.globalAlpha = 1;
      if (is) this.pen.fillRect(this.x(pause.startMs), TOP.caller, 2, TOP.floor - TOP.caller - 4);
      const text = is ? "barge-in" : "false barge-in: paused, and went on";
      this.region(pause.startMs - 500, end + 500, TOP.floor - 8, 4, text);
    }
  }

  paintWave(side, top, colour) {
    const middle = top + WAVE / 2;
    this.pen.fillStyle = colour;
    this.pen.globalAlpha = 0.35;
    this.pen.fillRect(0, middle, this.width, 1);
    this.pen.globalAlpha = 1;
    if (!this.shown) return this.paintSpeech(side, top);
    const { fromMs, toMs, peaks } = this.shown;
    const columns = peaks.length / 2;
    const width = (toMs - fromMs) / columns;
    const wide = Math.max(1, (width / (this.toMs - this.fromMs)) * this.width - 0.3);
    for (let column = 0; column < columns; column += 1) {
      const peak = peaks[2 * column + side];
      if (!peak) continue;
      const height = Math.max(1, Math.sqrt(peak / 255) * WAVE);
      this.pen.fillRect(this.x(fromMs + column * width), middle - height / 2, wide, height);
    }
  }

  // Without a recording the stretches of speech stand in for the sound.
  paintSpeech(side, top) {
    const stretches = side === 0
      ? this.journal.speech
      : this.journal.floor.filter((each) => each.floor === "agent" || each.floor === "both");
    for (const each of this.visible(stretches)) {
      const end = each.endMs ?? this.lengthMs;
      this.pen.beginPath();
      this.pen.roundRect(this.x(each.startMs), top + 16, Math.max(2, this.x(end) - this.x(each.startMs)), WAVE - 32, 4);
      this.pen.fill();
    }
  }

  paintWords() {
    const spoken = this.journal.entries.filter((each) => each.kind === "agent");
    for (const entry of this.visible(this.journal.entries)) {
      if (entry.kind !== "user" && entry.kind !== "agent") continue;
      const top = entry.kind === "user" ? TOP.callerWords : TOP.agentWords;
      let free = -Infinity;
      this.pen.fillStyle = this.colour("text");
      for (const word of words(entry)) {
        const start = Math.max(this.x(word.startMs), free);
        const wide = this.pen.measureText(word.text).width;
        if (start - this.x(word.startMs) > MOST_MOVED || start > this.width || start + wide < 0) continue;
        this.pen.fillText(word.text, start, top + WORDS / 2);
        free = start + wide + 4;
        this.region(word.startMs, word.endMs, top, WORDS, word.text, start + wide);
      }
      if (!entry.unheard) continue;
      this.pen.fillStyle = this.colour("unheard");
      const left = Math.max(free, this.x(entry.endMs) + 4);
      const next = spoken[spoken.indexOf(entry) + 1];
      this.clipped(left, next ? this.x(next.startMs) - 4 : this.width, top, () =>
        this.pen.fillText(entry.unheard.slice(0, 200), left, top + WORDS / 2));
    }
  }

  clipped(left, right, top, paint) {
    this.pen.save();
    this.pen.beginPath();
    this.pen.rect(left, top, Math.max(0, right - left), WORDS);
    this.pen.clip();
    paint();
    this.pen.restore();
  }

  paintFloor() {
    const colours = { caller: ["caller"], agent: ["agent"], both: ["caller", "agent"] };
    for (const each of this.visible(this.journal.floor)) {
      const names = colours[each.floor] || [];
      const start = this.x(each.startMs);
      const width = Math.max(1, this.x(each.endMs ?? this.lengthMs) - start);
      names.forEach((name, index) => {
        this.pen.fillStyle = this.colour(name);
        this.pen.fillRect(start, TOP.floor + (6 / names.length) * index, width, 6 / names.length);
      });
      this.region(each.startMs, each.endMs ?? this.lengthMs, TOP.floor, 6, `floor: ${each.floor}`);
    }
  }

  paintStages() {
    for (const each of this.visible(this.journal.stages)) {
      if (!STAGE_NAMES[each.stage]) continue;
      const top = TOP.stages + (each.stage === "end_of_turn" ? 0 : LANE + 1);
      const start = this.x(each.startMs);
      this.pen.fillStyle = this.colour(`stage-${each.stage}`);
      this.pen.fillRect(start, top, Math.max(1.5, this.x(each.endMs) - start), LANE);
      const text = `turn ${each.turn}, ${STAGE_NAMES[each.stage]}: ${each.endMs - each.startMs} ms`;
      this.region(each.startMs, each.endMs, top, LANE, text);
    }
  }

  paintMarks() {
    let free = -Infinity;
    for (const mark of this.visible(this.journal.marks)) {
      const start = this.x(mark.startMs);
      this.pen.fillStyle = this.colour(mark.kind === "fault" ? "bargein" : "mark");
      this.pen.fillRect(start, TOP.marks, Math.max(2, this.x(mark.endMs) - start), 4);
      const text = mark.text.length > 32 ? `${mark.text.slice(0, 31)}…` : mark.text;
      const wide = this.pen.measureText(text).width;
      const left = Math.min(start, this.width - wide - 2);
      if (left >= free && start < this.width) {
        this.pen.fillText(text, left, TOP.marks + 12);
        free = left + wide + 8;
      }
      this.region(mark.startMs, mark.endMs, TOP.marks, 18, mark.text, start + wide);
    }
  }

  visible(stretches) {
    return stretches.filter((each) => each.startMs < this.toMs && (each.endMs ?? Infinity) >= this.fromMs - 2000);
  }

  region(startMs, endMs, top, height, text, right = 0) {
    const left = this.x(startMs);
    this.regions.push({ startMs, endMs, top, height, text, left, right: Math.max(right, this.x(endMs), left + 6) });
  }

  // What lies at a point of the canvas: the smallest of what is there.
  regionAt(x, y) {
    return this.regions
      .filter((each) => x >= each.left && x <= each.right && y >= each.top && y <= each.top + each.height)
      .sort((one, other) => one.right - one.left - (other.right - other.left))[0];
  }

  listen() {
    let drag = null;
    const timeAt = (event) => this.fromMs + (event.offsetX / this.width) * (this.toMs - this.fromMs);
    const choose = (event) => {
      const region = this.regionAt(event.offsetX, event.offsetY);
      const detail = region ? { fromMs: region.startMs, toMs: region.endMs } : { fromMs: timeAt(event), toMs: null };
      this.dispatchEvent(new CustomEvent("choose", { detail }));
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, fromMs: this.fromMs, moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!drag) {
        const region = this.regionAt(event.offsetX, event.offsetY);
        this.canvas.title = region ? region.text : "";
        this.canvas.classList.toggle("over", Boolean(region));
        return;
      }
      const length = this.toMs - this.fromMs;
      const moved = event.clientX - drag.x;
      drag.moved ||= Math.abs(moved) > 4;
      const start = drag.fromMs - (moved / this.width) * length;
      if (drag.moved) this.window(start, start + length);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) choose(event);
      drag = null;
    });
    this.canvas.addEventListener("pointercancel", () => (drag = null));
    this.canvas.addEventListener("wheel", (event) => {
      const length = this.toMs - this.fromMs;
      if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, timeAt(event));
      else if (event.deltaX) this.window(this.fromMs + (event.deltaX / this.width) * length, this.toMs + (event.deltaX / this.width) * length);
      else return;
      event.preventDefault();
    }, { passive: false });
  }

  close() {
    this.observer.disconnect();
    clearTimeout(this.timer);
  }
}
