// One conversation: why it waits, what can be done, and all that happened.

import { get, post } from "./api.js";
import { button, duration, element, fill, moment, number } from "./dom.js";
import { free } from "./overview.js";
import { explained, reasonBadges, stateBadge } from "./reasons.js";
import { timeline } from "./timeline.js";

export function create(context, id) {
  const path = `/api/v1/admin/conversations/${encodeURIComponent(id)}`;
  const state = element("div", { class: "panel" });
  const happened = element("div", {});
  const node = element("div", {},
    element("p", { class: "back" }, element("a", { href: "#/conversations" }, "← Conversations")),
    element("h1", { tabindex: -1, class: "id" }, id),
    state,
    element("section", { "aria-labelledby": "timeline" },
      element("h2", { id: "timeline" }, "What happened"),
      element("p", { class: "hint" }, "The latest first: up to 100 messages, 100 jobs and 200 actions."),
      happened));

  async function update() {
    let shown;
    try {
      shown = await get(path);
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(state, element("p", { class: "empty" }, "There is no such conversation (any more)."));
      fill(happened);
      return;
    }
    fill(state, facts(shown), reasons(shown), buttons(shown));
    fill(happened, timeline(shown, { cancelJob, retryJob }));
  }

  function buttons(shown) {
    return element("div", { class: "buttons" },
      button("Free it", "free", () => free(context, id), shown.ai_processing || shown.pending_messages ? "primary" : ""),
      shown.status === "with_agent" ? button("Give it back to the bot", "resume", resume, "primary") : null);
  }

  async function resume() {
    const sure = await context.ask("Give it back to the bot?", "The next message is answered by the bot again.", "Give it back");
    if (sure) await context.act(async () => { await post(`${path}/resume`); return "The bot has it again"; });
  }

  async function cancelJob(jobId) {
    const sure = await context.ask("Cancel this job?", "It is cancelled if nothing of it has been delivered.", "Cancel the job");
    if (!sure) return;
    await context.act(async () => {
      const answer = await post(`/api/v1/jobs/${jobId}/cancel`);
      return answer.success ? "The job is cancelled" : `Too late: the job is ${answer.status}`;
    });
  }

  async function retryJob(jobId) {
    await context.act(async () => {
      await post(`/api/v1/admin/dead-letters/${jobId}/retry`);
      return "It is tried again";
    });
  }
  return { node, title: id, update };
}

function facts(shown) {
  const lease = shown.lease;
  return element("dl", { class: "facts" },
    fact("Status", stateBadge(shown.status)),
    fact("Bot", shown.bot_id ?? "–"),
    fact("Owner", lease?.owner ?? shown.owner ?? "nobody"),
    fact("Cluster", lease?.cluster ?? shown.cluster ?? "–"),
    fact("Lease ends in", shown.lease_seconds_left > 0 ? duration(shown.lease_seconds_left) : "–"),
    fact("Messages to answer", number(shown.pending_messages)),
    fact("Answers to deliver", number(shown.undelivered_jobs)),
    fact("Next delivery", moment(shown.next_retry_at)),
    fact("Messages in context", number(shown.context_size)),
    fact("Attempts", number(shown.attempts)),
    fact("Epoch", number(shown.epoch)));
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function reasons(shown) {
  if (!shown.waits_for.length) return element("p", { class: "waits" }, "It waits for nothing: all is answered and delivered.");
  return element("ul", { class: "waits", "aria-label": "Why it waits" }, shown.waits_for.map((it) =>
    element("li", {}, reasonBadges([it]), " ", explained(it))));
}
