// Asks the API with the operator's token, which this tab alone remembers.

const KEY = "chat-orchestrator-console-token";
const PAUSE_SECONDS = [1, 2, 5, 10];

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  get isAboutToken() {
    return this.status === 401 || this.status === 403;
  }
}

async function ask(method, path, options = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      cache: "no-store",
      credentials: "omit",
      headers: { Authorization: `Bearer ${token.get()}` },
      ...options,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer");
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  throw new ApiError(response.status, problem.code, problem.error || `The server answered ${response.status}`);
}

export async function get(path, query = {}) {
  const fields = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(fields).toString();
  return (await ask("GET", text ? `${path}?${text}` : path)).json();
}

export async function post(path) {
  return (await ask("POST", path)).json();
}

// Follows a stream of events for as long as the signal lets it; asks again when it ends.
export async function follow(path, signal, onEvent, onState) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const response = await ask("GET", path, { signal });
      await read(response.body, (data) => {
        failures = 0;
        onState("live");
        onEvent(data);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.isAboutToken) throw error;
      failures += 1;
    }
    if (signal.aborted) return;
    if (failures) onState("reconnecting");
    await pause(PAUSE_SECONDS[Math.min(failures, PAUSE_SECONDS.length - 1)], signal);
  }
}

async function read(body, onData) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value;
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length) onData(JSON.parse(data.map((line) => line.slice(6)).join("\n")));
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}
