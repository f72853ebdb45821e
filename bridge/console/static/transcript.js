// The call as a list: each turn with its words and its bars, and what happened between them.
import { clock, h } from "./dom.js";
import { words } from "./journal.js";
import { STAGE_NAMES } from "./timeline.js";

const SCALE_MS = 2500;
const WHO = { user: "caller", agent: "agent", "barge-in": "barge-in", pause: "false barge-in" };

export class Transcript extends EventTarget {
  constructor() {
    super();
    this.rows = new Map();
    this.element = h("ol", { class: "transcript", "aria-label": "What was said" });
    this.element.addEventListener("click", (event) => this.choose(event.target));
    this.element.addEventListener("keydown", (event) => this.move(event));
  }

  // Shows new entries, or those that have changed, in their places.
  update(entries, changed) {
    for (const entry of changed) {
      const row = this.row(entry);
      const old = this.rows.get(entry);
      this.rows.set(entry, row);
      if (old) {
        old.replaceWith(row);
        continue;
      }
      const next = entries[entries.indexOf(entry) + 1];
      this.element.insertBefore(row, (next && this.rows.get(next)) || null);
    }
  }

  row(entry) {
    const data = { from: Math.round(entry.startMs), to: Math.round(entry.endMs) };
    return h("li", { class: `row ${entry.kind}`, tabindex: 0, data },
      h("time", {}, clock(entry.startMs)),
      h("span", { class: "who" }, WHO[entry.kind] || entry.kind),
      h("div", { class: "said" }, this.text(entry), entry.turn ? bars(entry.turn) : null));
  }

  text(entry) {
    if (entry.kind !== "user" && entry.kind !== "agent") return h("p", {}, entry.text);
    const spans = words(entry).flatMap((word) => [
      h("span", { class: "word", data: { from: Math.round(word.startMs), to: Math.round(word.endMs) } }, word.text), " "]);
    return h("p", {}, spans,
      entry.unheard ? h("span", { class: "unheard", title: "not heard by the caller" }, entry.unheard) : null);
  }

  choose(target) {
    const place = target.closest("[data-from]");
    if (!place) return;
    const detail = { fromMs: Number(place.dataset.from), toMs: Number(place.dataset.to) };
    this.dispatchEvent(new CustomEvent("choose", { detail }));
  }

  move(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    if (event.key === "Enter") this.choose(event.target);
    else if (event.key === "ArrowDown") row.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") row.previousElementSibling?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Marks what is heard at this time.
  mark(atMs, follow) {
    const now = [...this.element.children].find((row) => row.dataset.from <= atMs && row.dataset.to > atMs);
    if (now === this.now) return;
    this.now?.classList.remove("now");
    now?.classList.add("now");
    this.now = now;
    if (follow) now?.scrollIntoView({ block: "nearest" });
  }
}

function bars(turn) {
  const stages = turn.stages.filter((each) => STAGE_NAMES[each.stage]);
  if (!stages.length) return null;
  const start = Math.min(...stages.map((each) => each.start_ms));
  const total = Math.max(SCALE_MS, ...stages.map((each) => each.end_ms - start));
  const bar = h("div", { class: "bars" });
  for (const each of stages) {
    const took = each.end_ms - each.start_ms;
    const text = `${STAGE_NAMES[each.stage]}: ${took} ms`;
    const part = h("button", {
      class: `stage ${each.stage}`, title: text, "aria-label": text, data: { from: each.start_ms, to: each.end_ms },
    });
    part.style.left = `${((each.start_ms - start) / total) * 100}%`;
    part.style.width = `${Math.max(0.4, (took / total) * 100)}%`;
    bar.append(part);
  }
  const waited = turn.responseMs === null || turn.responseMs === undefined ? "" : `the caller waited ${turn.responseMs} ms`;
  return h("div", { class: "turn" }, bar, h("span", { class: "waited" }, waited));
}
