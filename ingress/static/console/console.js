// Puts the console together: signing in, the address, the stream that keeps it up to date.

import { follow, get, token } from "./api.js";
import { create as cluster } from "./cluster.js";
import { create as conversation } from "./conversation.js";
import { create as conversations } from "./conversations.js";
import { create as deadLetters } from "./dead_letters.js";
import { number } from "./dom.js";
import { Figures } from "./figures.js";
import { create as overview } from "./overview.js";

const TOAST_MS = 6000;
const VIEWS = { "": overview, conversations, "dead-letters": deadLetters, cluster };
const TONES = { healthy: "good", degraded: "warn", unhealthy: "bad" };

const part = (id) => document.getElementById(id);
const context = { figures: new Figures(), act, ask, refresh };
let latest = null;
let view = null;
let isBusy = false;
let isPressing = false;
let question = 0;
let stream = null;
let toastTimer;

// Signing in ---------------------------------------------------------------------------------------

function showSignIn(problem = "") {
  stream?.abort();
  token.forget();
  latest = null;
  view = null;
  context.figures = new Figures();
  part("view").replaceChildren();
  part("top").hidden = true;
  part("sign-in").hidden = false;
  part("sign-in-problem").textContent = problem;
  document.title = "chat-orchestrator console";
  part("token").value = "";
  part("token").focus();
}

async function signIn(event) {
  event.preventDefault();
  const given = part("token").value.trim();
  if (/[^\x21-\x7e]/.test(given)) return showSignIn("This is not a token");
  token.set(given);
  try {
    latest = await get("/api/v1/admin/overview");
  } catch (error) {
    return showSignIn(error.message);
  }
  part("token").value = "";
  return begin();
}

function begin() {
  part("sign-in").hidden = true;
  part("top").hidden = false;
  if (latest) showHeader();
  showLive("connecting");
  stream = new AbortController();
  follow("/api/v1/admin/events", stream.signal, heard, showLive).catch((error) => showSignIn(error.message));
  route();
}

// Keeping up to date -------------------------------------------------------------------------------

function heard(overviewNow) {
  latest = overviewNow;
  context.figures.add(latest);
  showHeader();
  // A button must not be replaced between the press and the release.
  if (!document.hidden && !isPressing) refresh();
}

function showHeader() {
  part("health").textContent = latest.status;
  part("health").className = `pill ${TONES[latest.status] ?? ""}`;
  const count = part("letter-count");
  count.hidden = !latest.total_dead_letters;
  count.textContent = number(latest.total_dead_letters);
  const grafana = part("grafana");
  grafana.hidden = !latest.grafana_url;
  if (latest.grafana_url) grafana.href = latest.grafana_url;
}

function showLive(state) {
  if (part("live").textContent === state) return;
  part("live").textContent = state;
  part("live").className = state === "live" ? "live on" : "live off";
}

// Shows the view anew; one that is being shown is not disturbed, unless what it shows has changed.
async function refresh(isChanged = false) {
  if (!view || !latest || (isBusy && !isChanged)) return;
  const mine = view;
  isBusy = true;
  try {
    await mine.update(latest);
  } catch (error) {
    if (error.isAboutToken) showSignIn(error.message);
    else if (mine === view) say(error.message, true);
  } finally {
    isBusy = false;
  }
}

// The address --------------------------------------------------------------------------------------

function route() {
  if (!token.get()) return showSignIn();
  const [path, text = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const isKnown = Object.hasOwn(VIEWS, name); // and not one that every object has
  const make = name === "conversations" && id ? conversation : VIEWS[isKnown ? name : ""];
  view = make(context, id ? decoded(id) : null, new URLSearchParams(text));
  part("view").replaceChildren(view.node);
  document.title = `${view.title} · chat-orchestrator`;
  for (const link of part("navigation").querySelectorAll("a")) {
    const isHere = (link.dataset.view === "overview" ? "" : link.dataset.view) === (isKnown ? name : "");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view.node.querySelector("h1").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  return refresh(true);
}

function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

// What operators do --------------------------------------------------------------------------------

async function act(work) {
  try {
    say(await work());
  } catch (error) {
    if (error.isAboutToken) showSignIn(error.message);
    else say(error.message, true);
  }
  await refresh(true);
}

function ask(title, text, yes) {
  const dialog = part("question");
  const asker = document.activeElement?.dataset.key;
  part("question-title").textContent = title;
  part("question-text").textContent = text;
  part("question-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  const own = ++question;
  return new Promise((resolve) => {
    // A browser tells of a closed dialog a little later: the next question may be open by then.
    const closed = () => {
      if (own === question && dialog.open) return;
      dialog.removeEventListener("close", closed);
      if (own !== question) return resolve(false);
      if (asker) document.querySelector(`[data-key="${CSS.escape(asker)}"]`)?.focus();
      resolve(dialog.returnValue === "yes");
    };
    dialog.addEventListener("close", closed);
  });
}

function say(text, isProblem = false) {
  clearTimeout(toastTimer);
  part("toast").textContent = text;
  part("toast").className = `toast shown ${isProblem ? "bad" : ""}`;
  toastTimer = setTimeout(() => {
    part("toast").className = "toast";
    part("toast").textContent = "";
  }, TOAST_MS);
}

function pressed(event) {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!token.get() || part("question").open) return;
  event.preventDefault();
  if (!view?.search) location.hash = "#/conversations";
  setTimeout(() => view?.search?.focus(), 0);
}

part("sign-in-form").addEventListener("submit", signIn);
part("sign-out").addEventListener("click", () => showSignIn());
part("question-yes").addEventListener("click", () => part("question").close("yes"));
part("question-no").addEventListener("click", () => part("question").close(""));
document.addEventListener("keydown", pressed);
document.addEventListener("pointerdown", () => { isPressing = true; });
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => { isPressing = false; });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(true); });
window.addEventListener("hashchange", route);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  part("main").focus();
});

if (token.get()) begin();
else showSignIn();
