// The whole call in one strip, with the stretch that the timeline shows.
import { h } from "./dom.js";

const HEIGHT = 34;

export class Overview {
  constructor(timeline, peaks) {
    this.timeline = timeline;
    this.peaks = peaks;
    this.columns = null;
    this.canvas = h("canvas", { class: "overview", "aria-hidden": "true" });
    timeline.addEventListener("window", () => this.draw());
    const go = (event) => {
      const middle = (event.offsetX / this.canvas.clientWidth) * timeline.lengthMs;
      const half = (timeline.toMs - timeline.fromMs) / 2;
      timeline.window(middle - half, middle + half);
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && go(event));
  }

  async fetch() {
    if (!this.peaks || !this.timeline.soundMs) return;
    this.columns = await this.peaks(0, this.timeline.lengthMs, 1000).catch(() => null);
    this.fetchedMs = this.timeline.lengthMs;
    this.draw();
  }

  draw() {
    const { canvas, timeline } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.scale(ratio, ratio);
    const length = timeline.lengthMs;
    if (this.columns) {
      const columns = this.columns.length / 2;
      const step = (this.fetchedMs / length) * (width / columns);
      for (const [side, name] of [[0, "caller"], [1, "agent"]]) {
        pen.fillStyle = colour(name);
        for (let column = 0; column < columns; column += 1) {
          const height = Math.sqrt(this.columns[2 * column + side] / 255) * (HEIGHT / 2);
          pen.fillRect(column * step, side ? HEIGHT / 2 : HEIGHT / 2 - height, Math.max(1, step - 0.3), height);
        }
      }
    } else {
      for (const each of timeline.journal.floor) {
        if (each.floor === "nobody") continue;
        pen.fillStyle = colour(each.floor === "caller" ? "caller" : "agent");
        const start = (each.startMs / length) * width;
        pen.fillRect(start, each.floor === "caller" ? 6 : HEIGHT / 2, (((each.endMs ?? length) - each.startMs) / length) * width, HEIGHT / 2 - 6);
      }
    }
    pen.fillStyle = colour("accent");
    pen.globalAlpha = 0.16;
    const left = (timeline.fromMs / length) * width;
    const right = Math.min(width, (timeline.toMs / length) * width);
    pen.fillRect(left, 0, right - left, HEIGHT);
    pen.globalAlpha = 1;
    pen.fillRect(left, 0, 1.5, HEIGHT);
    pen.fillRect(right - 1.5, 0, 1.5, HEIGHT);
  }
}
