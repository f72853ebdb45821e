// Asks the server. The login's cookie goes along by itself.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.ok) return answer;
  let message = `${answer.status} ${answer.statusText}`;
  try {
    message = (await answer.json()).message || message;
  } catch {
    // An answer of a proxy in between is no JSON.
  }
  if (answer.status === 401) document.dispatchEvent(new Event("loggedout"));
  throw new Refused(answer.status, message);
}

export const getJson = async (path, options) => (await ask(path, options)).json();

export const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

// The journal of a recorded call, a page at a time; returns where it goes on.
export async function readRecorded(name, offset, take) {
  const answer = await ask(`/console/recorded/${name}/journal?offset=${offset}`);
  const text = await answer.text();
  for (const line of text.split("\n")) if (line) take(parsed(line));
  return Number(answer.headers.get("X-Next-Offset"));
}

export function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return { type: "unreadable" };
  }
}

// Two peaks, 0 to 255, for each column: the caller's and the agent's.
export async function getPeaks(name, fromMs, toMs, columns) {
  const path = `/console/recorded/${name}/peaks?from_ms=${Math.round(fromMs)}&to_ms=${Math.round(toMs)}&columns=${columns}`;
  return new Uint8Array(await (await ask(path)).arrayBuffer());
}
