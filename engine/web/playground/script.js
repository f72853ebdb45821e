// Speaks the text of the form: plays PCM while it is made, other formats when they are whole, and draws the waveform.
'use strict';
const RAW = { pcm: 1, alaw: 6, mulaw: 7 }; // formats without a header, and their numbers in a WAV header
const WHOLE = ['wav', 'flac']; // streamed they state no length, and a player shows none
const AHEAD_S = 0.08; // how far ahead of the clock a piece of sound is placed
const form = document.querySelector('form.try');
const [said, canvas, player] = ['output', 'canvas', 'audio'].map((name) => form.querySelector(name));
const [stop, save, speed] = ['stop', 'save', 'speed'].map((id) => document.getElementById(id));
const tell = (text) => { said.value = text; };
let running = null;
let lastPeaks = [];

form.addEventListener('submit', (event) => {
  event.preventDefault();
  speak();
});
form.elements.speed.addEventListener('input', (event) => {
  speed.textContent = Number(event.target.value).toFixed(2);
});
form.elements.response_format.addEventListener('change', (event) => {
  form.elements.stream.disabled = WHOLE.includes(event.target.value);
});
stop.addEventListener('click', () => running?.end('stopped'));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') running?.end('stopped');
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
window.addEventListener('resize', () => draw(lastPeaks));

async function speak() {
  running?.end('');
  const mine = (running = new Speaking());
  stop.disabled = false;
  player.pause();
  tell('asking …');
  draw([]);
  try {
    await mine.run();
  } catch (error) {
    if (!mine.ended) tell(error.message);
  }
  if (running === mine && !mine.isHeard()) stop.disabled = true;
}

// One request, from the button to the last sound.
class Speaking {
  constructor() {
    this.abort = new AbortController();
    this.ended = false;
    this.context = null;
    this.nextS = 0;
    this.pieces = [];
  }

  async run() {
    const began = performance.now();
    const format = form.elements.response_format.value;
    const live = format === 'pcm' && form.elements.stream.checked;
    if (live) this.context = new AudioContext(); // within the click or key, which lets it sound
    const answer = await fetch(...request(format, this.abort.signal));
    if (!answer.ok) throw new Error((await answer.json()).message);
    const rateHz = Number(answer.headers.get('X-Sample-Rate'));
    const reader = answer.body.getReader();
    const chunks = [];
    let firstMs = 0;
    let odd = new Uint8Array(0);
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      firstMs ||= performance.now() - began;
      chunks.push(read.value);
      if (live) {
        const bytes = joined([odd, read.value]);
        odd = bytes.slice(bytes.length & ~1);
        this.play(samplesOf(bytes), rateHz);
      }
      if (!this.ended) tell(`first sound after ${Math.round(firstMs)} ms …`);
    }
    const tookMs = performance.now() - began;
    const bytes = joined(chunks);
    const kind = answer.headers.get('Content-Type');
    const audio = RAW[format] ? new Blob([wavHeader(bytes.length, RAW[format], rateHz), bytes], { type: 'audio/wav' })
      : new Blob([bytes], { type: kind });
    show(audio, RAW[format] ? 'wav' : format);
    const seconds = await this.draw(live, rateHz, audio);
    if (this.ended) return;
    if (!live) player.play().catch(() => {}); // a browser may want a click first: the button is there
    tell(`first sound after ${Math.round(firstMs)} ms · ${seconds} in ${Math.round(tookMs)} ms · ` +
      `${bytes.length.toLocaleString('en')} bytes · ${rateHz} Hz`);
  }

  play(samples, rateHz) {
    if (!samples.length || this.ended) return;
    this.pieces.push(samples);
    const buffer = this.context.createBuffer(1, samples.length, rateHz);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.nextS = Math.max(this.nextS, this.context.currentTime + AHEAD_S);
    source.start(this.nextS);
    source.addEventListener('ended', () => { if (running === this && !this.isHeard()) stop.disabled = true; });
    this.nextS += samples.length / rateHz;
    draw(peaksOf(this.pieces));
  }

  async draw(live, rateHz, audio) {
    if (!live) {
      try {
        const decoded = await new OfflineAudioContext(1, 1, rateHz).decodeAudioData(await audio.arrayBuffer());
        this.pieces = [decoded.getChannelData(0)];
      } catch {
        return 'sound'; // this browser cannot decode the format: it can still be saved
      }
      draw(peaksOf(this.pieces));
    }
    return `${(lengthOf(this.pieces) / rateHz).toFixed(1)} s of sound`;
  }

  isHeard() {
    return !this.ended && this.context !== null && this.nextS > this.context.currentTime + 0.01;
  }

  end(why) {
    if (this.ended) return;
    this.ended = true;
    this.abort.abort();
    this.context?.close();
    player.pause();
    stop.disabled = true;
    tell(why);
  }
}

function request(format, signal) {
  const fields = form.elements;
  const headers = fields.key?.value ? { Authorization: `Bearer ${bytesOf(fields.key.value)}` } : {};
  const file = fields.file.files[0];
  const stream = fields.stream.checked && !WHOLE.includes(format);
  if (file) {
    const body = new FormData();
    body.append('file', file);
    for (const name of ['input', 'ref_text']) if (fields[name].value) body.append(name, fields[name].value);
    body.append('response_format', format);
    body.append('stream', stream);
    return ['/v1/audio/speech/clone', { method: 'POST', headers, body, signal }];
  }
  headers['Content-Type'] = 'application/json';
  const body = JSON.stringify({
    input: fields.input.value, voice: fields.voice.value, response_format: format,
    speed: Number(fields.speed.value), stream,
  });
  return ['/v1/audio/speech', { method: 'POST', headers, body, signal }];
}

// A header's letters are bytes: any other letter goes as those of its UTF-8, which is how the server reads it.
function bytesOf(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function show(audio, ending) {
  URL.revokeObjectURL(player.src);
  player.src = save.href = URL.createObjectURL(audio);
  save.download = `speech.${ending}`;
  save.hidden = false;
}

function lengthOf(pieces) {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function joined(chunks) {
  const bytes = new Uint8Array(lengthOf(chunks));
  chunks.reduce((at, chunk) => { bytes.set(chunk, at); return at + chunk.length; }, 0);
  return bytes;
}

function samplesOf(bytes) {
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, index) => view.getInt16(2 * index, true) / 32768);
}

function wavHeader(size, kind, rateHz) {
  const width = kind === 1 ? 2 : 1;
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, 'RIFF'); text(8, 'WAVEfmt '); text(36, 'data');
  for (const [at, value] of [[4, 36 + size], [16, 16], [24, rateHz], [28, rateHz * width], [40, size]]) {
    view.setUint32(at, value, true);
  }
  for (const [at, value] of [[20, kind], [22, 1], [32, width], [34, 8 * width]]) view.setUint16(at, value, true);
  return view.buffer;
}

// The loudest sample of each of the canvas's columns.
function peaksOf(pieces) {
  const peaks = new Float32Array(Math.max(1, canvas.clientWidth));
  const perColumn = Math.max(1, lengthOf(pieces) / peaks.length);
  let at = 0;
  for (const piece of pieces) {
    for (const sample of piece) {
      const column = Math.min(peaks.length - 1, Math.floor(at / perColumn));
      peaks[column] = Math.max(peaks[column], Math.abs(sample));
      at += 1;
    }
  }
  return peaks;
}

function draw(peaks) {
  lastPeaks = peaks;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * devicePixelRatio;
  canvas.height = height * devicePixelRatio;
  const pen = canvas.getContext('2d');
  pen.scale(devicePixelRatio, devicePixelRatio);
  pen.fillStyle = getComputedStyle(canvas).color;
  peaks.forEach((peak, column) => {
    const tall = Math.max(1, peak * height);
    pen.fillRect((column * width) / peaks.length, (height - tall) / 2, 0.8, tall);
  });
}
