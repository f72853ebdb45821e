// Speaks typed text in any voice, and shows when the first sound came and what it looks like.
import { ask, getJson } from "./api.js";
import { h } from "./dom.js";

const AHEAD_S = 0.08;

export function showPlayground(view) {
  const text = h("textarea", { rows: 4, maxlength: 4000, "aria-label": "Text to speak" });
  text.value = "Hello! This is what I sound like.";
  const voice = h("select", { "aria-label": "Voice" });
  const button = h("button", { class: "primary", id: "speak" }, "Speak");
  const facts = h("p", { class: "facts", role: "status", id: "spoken" });
  const canvas = h("canvas", { class: "spoken", role: "img", "aria-label": "The sound's waveform" });
  const form = h("form", { class: "card playground" }, text, h("div", { class: "tools" }, h("label", {}, "Voice ", voice), button), facts, canvas);
  view.append(h("div", { class: "head" }, h("h1", {}, "Playground")), form);
  let sounding = null;

  getJson("/v1/info").then((info) => {
    voice.replaceChildren(...info.voices.map((name) => h("option", { value: name, selected: name === info.default_voice }, name)));
  }).catch((error) => (facts.textContent = error.message));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sounding?.stop();
    sounding = new Sounding();
    button.disabled = true;
    facts.textContent = "asking …";
    try {
      await speak(text.value, voice.value, sounding, (told) => {
        facts.textContent = told;
        draw(canvas, sounding.samples);
      });
    } catch (error) {
      facts.textContent = error.message;
    }
    button.disabled = false;
  });
  return () => sounding?.stop();
}

async function speak(input, voice, sounding, tell) {
  const began = performance.now();
  const answer = await ask("/v1/audio/speech", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ input, voice, response_format: "pcm", stream: true }),
  });
  const rateHz = Number(answer.headers.get("X-Sample-Rate"));
  const reader = answer.body.getReader();
  let firstMs = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    firstMs ??= performance.now() - began;
    sounding.push(value, rateHz);
    tell(`first sound after ${Math.round(firstMs)} ms …`);
  }
  const seconds = sounding.length / rateHz;
  const tookMs = performance.now() - began;
  tell(`first sound after ${Math.round(firstMs)} ms · ${seconds.toFixed(1)} s of sound in ${Math.round(tookMs)} ms · ${rateHz} Hz`);
}

// Plays PCM16 as it comes.
class Sounding {
  constructor() {
    this.context = new AudioContext();
    this.nextS = 0;
    this.odd = new Uint8Array(0);
    this.samples = [];
    this.length = 0;
  }

  push(bytes, rateHz) {
    const all = new Uint8Array(this.odd.length + bytes.length);
    all.set(this.odd);
    all.set(bytes, this.odd.length);
    this.odd = all.slice(all.length & ~1);
    const count = all.length >> 1;
    if (!count) return;
    const view = new DataView(all.buffer);
    const samples = Float32Array.from({ length: count }, (_, index) => view.getInt16(2 * index, true) / 32768);
    this.samples.push(samples);
    this.length += count;
    const buffer = this.context.createBuffer(1, count, rateHz);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.nextS = Math.max(this.nextS, this.context.currentTime + AHEAD_S);
    source.start(this.nextS);
    this.nextS += count / rateHz;
  }

  stop() {
    this.context.close();
  }
}

function draw(canvas, pieces) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = getComputedStyle(canvas).getPropertyValue("--agent");
  const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const step = Math.max(1, total / width);
  let position = 0;
  const peaks = new Float32Array(Math.ceil(width) + 1);
  for (const piece of pieces)
    for (const sample of piece) {
      const column = Math.floor(position / step);
      peaks[column] = Math.max(peaks[column], Math.abs(sample));
      position += 1;
    }
  peaks.forEach((peak, column) => {
    const tall = Math.max(1, peak * height);
    pen.fillRect(column, (height - tall) / 2, 0.8, tall);
  });
}
