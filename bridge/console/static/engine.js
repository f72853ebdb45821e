// How the server does: engine, GPU, workers, queue, from /health.
import { getJson } from "./api.js";
import { h } from "./dom.js";

const EVERY_MS = 2000;
const SHOWN_ABOVE = new Set(["engine", "model_id", "queue_depth", "warnings"]);

export function showEngine(view) {
  const place = h("div", { class: "cards" });
  view.append(h("div", { class: "head" }, h("h1", {}, "Engine")), place);
  let timer = 0;
  let closed = false;
  async function refresh() {
    try {
      const health = await getJson("/health");
      if (!closed) place.replaceChildren(...cards(health));
    } catch (error) {
      if (!closed) place.replaceChildren(h("p", {}, error.message));
    }
    if (!closed) timer = setTimeout(refresh, document.hidden ? 5 * EVERY_MS : EVERY_MS);
  }
  refresh();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}

function cards(health) {
  return [
    card("Engine", [
      ["state", health.status], ["engine", health.engine], ["model", health.model_id], ["voices", health.voices.length],
    ]),
    card("Calls", [["in progress", `${health.calls} of ${health.max_calls}`]], meter(health.calls, health.max_calls)),
    card("Speech queue", [["requests", `${health.queue_depth} of ${health.max_queue_depth}`]], meter(health.queue_depth, health.max_queue_depth)),
    card("GPU", health.cuda
      ? [["card", health.gpu_name], ["allocated", `${Math.round(health.gpu_allocated_mb)} MB`], ["reserved", `${Math.round(health.gpu_reserved_mb)} MB`]]
      : [["card", "none is used by this server"]]),
    card("Sound cache", [
      ["entries", `${health.audio_cache_size} of ${health.audio_cache_max}`],
      ["size", `${(health.audio_cache_bytes / 1e6).toFixed(1)} MB`], ["hits", health.audio_cache_hits],
    ]),
    health.warnings.length ? h("section", { class: "card warn" }, h("h2", {}, "Warnings"), h("ul", {}, health.warnings.map((text) => h("li", {}, text)))) : null,
    card("The engine says", Object.entries(health.engine_status).filter(([name]) => !SHOWN_ABOVE.has(name)).map(([name, value]) => [name.replaceAll("_", " "), shown(value)])),
    health.workers ? workers(health.workers) : null,
  ].filter(Boolean);
}

const shown = (value) =>
  Array.isArray(value) ? `${value.length}` : value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–");

function card(title, facts, more = null) {
  return h("section", { class: "card" }, h("h2", {}, title),
    h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value ?? "–"))])), more);
}

function meter(value, most) {
  return h("meter", { min: 0, max: most || 1, value, high: (most || 1) * 0.9, "aria-label": "used" });
}

function workers(list) {
  const rows = Array.isArray(list) ? list : Object.entries(list).map(([name, value]) => ({ name, ...value }));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return h("section", { class: "card wide" }, h("h2", {}, "Workers"), h("table", {},
    h("tr", {}, names.map((name) => h("th", {}, name.replaceAll("_", " ")))),
    rows.map((row) => h("tr", {}, names.map((name) => h("td", {}, shown(row[name])))))));
}
