// The list of calls: those in progress, and the last ones, by number, agent or outcome.
import { getJson } from "./api.js";
import { clock, h } from "./dom.js";

const EVERY_MS = 3000;
const TYPING_MS = 200;
const MOST_SHOWN = 100;
const MOST_SEARCHED = 1000;

export function showCalls(view) {
  const search = h("input", {
    type: "search", placeholder: "Search by number, agent or outcome", "aria-label": "Search calls", id: "search",
  });
  const count = h("p", { class: "dim", role: "status" });
  const list = h("ul", { class: "calls" });
  view.append(h("div", { class: "head" }, h("h1", {}, "Calls"), search), count, list);
  let closed = false;
  let timer = 0;

  async function refresh() {
    clearTimeout(timer);
    const wanted = search.value;
    try {
      const calls = await load(wanted);
      if (closed || wanted !== search.value) return;
      render(calls);
    } catch (error) {
      if (!closed) count.textContent = error.message;
    }
    if (!closed) timer = setTimeout(() => (document.hidden ? later() : refresh()), EVERY_MS);
  }

  function later() {
    document.addEventListener("visibilitychange", refresh, { once: true });
  }

  function render(calls) {
    count.textContent = counted(calls, search.value.trim());
    const focused = document.activeElement?.getAttribute("href");
    list.replaceChildren(...calls.map(row));
    if (focused) list.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
  }

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, TYPING_MS);
  });
  list.addEventListener("keydown", (event) => {
    const item = event.target.closest("li");
    const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
    if (!next) return;
    next.querySelector("a").focus();
    event.preventDefault();
  });
  refresh();
  return () => {
    closed = true;
    clearTimeout(timer);
  };
}

async function load(wanted) {
  const limit = wanted.trim() ? MOST_SEARCHED : MOST_SHOWN;
  const [known, recorded] = await Promise.all([
    getJson(`/v1/calls?ended=1&limit=${limit}`), getJson(`/console/recorded?search=${encodeURIComponent(wanted)}`),
  ]);
  const terms = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const here = known.data.map(ofServer);
  const byId = new Map(here.map((call) => [call.id, call]));
  const files = recorded.data.map((call) => ofFile(call, byId.get(call.id)));
  const filed = new Set(files.map((call) => call.id));
  const rest = here.filter((call) => !filed.has(call.id) && matches(call, terms));
  return [...files, ...rest].sort((one, other) => other.live - one.live || other.started - one.started);
}

function ofServer(call) {
  const live = call.state === "active" || call.state === "ending";
  const end = call.ended_at || Date.now() / 1000;
  return {
    id: call.id, name: call.id, live, from: call.from || "", to: call.to || "", agent: call.agent_name,
    started: call.started_at * 1000, durationMs: (end - call.started_at) * 1000,
    outcome: live ? "in progress" : call.end_reason || "ended",
  };
}

function ofFile(call, known) {
  const live = Boolean(known?.live);
  return {
    id: call.id, name: call.name, live, from: call.from, to: call.to, agent: known?.agent || call.agent_name,
    started: Date.parse(call.started) || 0, durationMs: live ? known.durationMs : call.duration_ms, recorded: true,
    outcome: live ? "in progress" : call.outcome || (call.ended ? "ended" : "broken off"),
  };
}

function counted(calls, wanted) {
  if (!calls.length) return wanted ? "No call is found." : "No calls yet: they appear here as they come.";
  const live = calls.filter((call) => call.live).length;
  const ended = calls.length - live;
  return `${live} in progress, ${!wanted && ended >= MOST_SHOWN ? `the latest ${ended} that` : ended} ended`;
}

const matches = (call, terms) => {
  const text = [call.from, call.to, call.agent, call.outcome, call.id].join("\n").toLowerCase();
  return terms.every((term) => text.includes(term));
};

function row(call) {
  const started = new Date(call.started);
  const day = started.toDateString() === new Date().toDateString() ? "" : `${started.toLocaleDateString()} `;
  const number = call.from || "unknown number";
  return h("li", {},
    h("a", { href: `#/call/${call.name}`, class: call.live ? "live" : "" },
      h("span", { class: "dot", "aria-hidden": "true" }),
      h("span", { class: "number" }, number, call.to ? h("span", { class: "dim" }, ` → ${call.to}`) : null),
      h("span", { class: "agent" }, call.agent),
      h("span", { class: "outcome" }, call.outcome),
      h("span", { class: "length" }, clock(call.durationMs, false)),
      h("time", { datetime: started.toISOString() }, call.started ? day + started.toLocaleTimeString() : "")));
}
