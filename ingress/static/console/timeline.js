// Messages, jobs and actions of a conversation in the order of time, the latest first.

import { button, duration, element, moment } from "./dom.js";
import { stateBadge } from "./reasons.js";

const WHO = { user: "User", agent: "Agent", bot: "Bot", system: "System" };
const ORDER = { message: 0, job: 1, action: 2 };

export function timeline(shown, actions) {
  const events = [
    ...shown.messages.map((it) => ({ kind: "message", at: it.accepted_at, order: it.seq, it })),
    ...shown.jobs.map((it) => ({ kind: "job", at: it.started_at ?? it.created_at, order: 0, it })),
    ...shown.actions.map((it) => ({ kind: "action", at: it.created_at, order: it.ordinal, it })),
  ];
  events.sort((one, other) =>
    other.at - one.at || ORDER[other.kind] - ORDER[one.kind] || other.order - one.order);
  if (!events.length) return element("p", { class: "empty" }, "Nothing yet.");
  return element("ol", { class: "timeline" }, events.map((event) =>
    element("li", { class: `event ${event.kind} ${event.it.sender_type ?? ""}` },
      element("div", { class: "when" }, moment(event.at)),
      SHOWN[event.kind](event.it, actions))));
}

const SHOWN = { message, job, action };

function message(it) {
  const waits = it.processed_at === null ? stateBadge("pending") : null;
  return element("div", { class: "what" },
    element("p", { class: "head" }, element("b", {}, WHO[it.sender_type] ?? it.sender_type), " ",
      element("span", { class: "quiet-text" }, it.message_id ?? "reply"), " ", waits),
    element("p", { class: "text" }, it.content || "(no text)"),
    it.attachments?.length ? data("attachments", it.attachments, `attachments ${it.seq}`) : null);
}

function job(it, actions) {
  const isRunning = it.status === "queued" || it.status === "processing";
  const isDead = !it.retried_by && (it.delivery_status === "dead" || (it.status === "failed" && /^ai_/.test(it.reason ?? "")));
  return element("div", { class: "what" },
    element("p", { class: "head" }, element("b", {}, "Job"), " ", stateBadge(it.status), " ",
      it.reason ? element("span", {}, it.reason.replaceAll("_", " ")) : null, " ",
      element("span", { class: "quiet-text id" }, it.job_id)),
    element("p", { class: "quiet-text" }, sentences(it).join(" · ")),
    it.delivery_error ? element("p", { class: "problem" }, it.delivery_error) : null,
    element("div", { class: "buttons" },
      isRunning ? button("Cancel the job", `cancel ${it.job_id}`, () => actions.cancelJob(it.job_id)) : null,
      isDead ? button("Try again", `retry ${it.job_id}`, () => actions.retryJob(it.job_id), "primary") : null));
}

function sentences(it) {
  const found = [`${it.consolidated_messages} message${it.consolidated_messages === 1 ? "" : "s"}`];
  if (it.started_at !== null) found.push(`waited ${duration(Math.max(0, it.started_at - it.created_at))}`);
  if (it.started_at !== null && it.finished_at !== null) {
    found.push(`took ${duration(Math.max(0, it.finished_at - it.started_at))}`);
  }
  if (it.delivery_status) found.push(`delivery ${it.delivery_status}, ${it.delivery_attempts} tried`);
  if (it.superseded_by) found.push(`answered by ${it.superseded_by}`);
  if (it.retried_by) found.push(`tried again by ${it.retried_by}`);
  return found;
}

function action(it) {
  return element("div", { class: "what" },
    element("p", { class: "head" }, element("b", {}, it.action_type.replaceAll("_", " ")), " ", stateBadge(it.status), " ",
      it.retry_count ? element("span", { class: "quiet-text" }, `tried ${it.retry_count + 1} times`) : null),
    it.error ? element("p", { class: "problem" }, it.error) : null,
    data("data", it.data, `data ${it.action_id}`));
}

function data(name, value, key) {
  return element("details", { "data-key": key },
    element("summary", { "data-key": `summary ${key}` }, name),
    element("pre", { tabindex: 0 }, JSON.stringify(value, null, 2)));
}
