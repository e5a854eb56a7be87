// The whole at a glance: what works, what needs somebody, how much and how fast.

import { post } from "./api.js";
import { lineChart } from "./charts.js";
import { badge, button, conversationLink, duration, element, fill, number, table } from "./dom.js";

const STUCK = { turn_too_long: "its turn takes too long", no_owner: "nobody works on it" };

export function create(context) {
  const tiles = element("div", { class: "tiles" });
  const stuck = element("div", {});
  const charts = element("div", { class: "charts" });
  const node = element("div", {},
    element("h1", { tabindex: -1 }, "Overview"), tiles,
    element("section", { "aria-labelledby": "attention" },
      element("h2", { id: "attention" }, "Needs attention"), stuck),
    element("section", { "aria-labelledby": "flow" },
      element("h2", { id: "flow" }, "Throughput and latency"),
      element("p", { class: "hint" }, "Since this page was opened, ten minutes at most; over all hosts, and of this instance what it accepted."),
      charts));

  function update(overview) {
    fill(tiles, tilesOf(overview));
    fill(stuck, stuckTable(overview.stuck_conversations, context));
    fill(charts, chartsOf(context.figures));
  }
  return { node, title: "Overview", update };
}

function tilesOf(overview) {
  const statistics = overview.statistics;
  const hosts = overview.actors.filter((it) => it.kind === "ConversationHost");
  const sum = (field) => hosts.reduce((total, it) => total + (it[field] ?? 0), 0);
  const letters = overview.total_dead_letters;
  return [
    tile("PostgreSQL", badge(overview.postgres_status, overview.postgres_status === "connected" ? "good" : "bad")),
    tile("Redis", badge(overview.redis_status, overview.redis_status === "connected" ? "good" : "warn")),
    tile("Hosts", number(hosts.length), "#/cluster"),
    tile("Conversations", number(statistics.total_conversations), "#/conversations"),
    tile("Turns running", number(sum("turns"))),
    tile("Messages waiting", number(sum("waiting_messages")), "#/conversations?waiting=true"),
    tile("Stuck", number(statistics.stuck_conversations), null, statistics.stuck_conversations ? "bad" : ""),
    tile("Dead letters", number(letters), "#/dead-letters", letters ? "warn" : ""),
  ];
}

function tile(name, value, href, tone = "") {
  const content = [element("span", { class: "tile-name" }, name), element("span", { class: "tile-value" }, value)];
  return href
    ? element("a", { class: `tile ${tone}`, href, "data-key": `tile ${name}` }, content)
    : element("div", { class: `tile ${tone}` }, content);
}

function stuckTable(conversations, context) {
  const rows = conversations.map((it) => [
    conversationLink(it.conversation_id),
    STUCK[it.reason] ?? it.reason,
    duration(it.stuck_seconds),
    number(it.waiting_messages),
    it.owner ?? "–",
    button("Free it", `free ${it.conversation_id}`, () => free(context, it.conversation_id), "primary"),
  ]);
  return table("Stuck conversations", ["Conversation", "Why", "For", "Messages", "Owner", "Action"], rows,
    "Nothing is stuck: every turn is within its time, and every message has an owner.");
}

export async function free(context, id) {
  const sure = await context.ask("Free this conversation?",
    `The running turn of ${id} is cancelled and its lease deleted, wherever it is held. Messages that wait behind it are answered then.`, "Free it");
  if (!sure) return;
  await context.act(async () => {
    const answer = await post(`/api/v1/admin/conversations/${encodeURIComponent(id)}/cancel`);
    return answer.cancelled_job_id ? `Freed ${id}: its running job was cancelled` : `Freed ${id}: no job was running`;
  });
}

function chartsOf(figures) {
  const rate = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;
  const count = (value) => number(Math.round(value));
  const latency = (name) => [["median", 0.5], ["95 %", 0.95], ["99 %", 0.99]]
    .map(([label, part]) => ({ name: label, points: figures.quantile(name, part) }));
  return [
    lineChart("Messages and turns a second", [
      { name: "accepted", points: figures.rate("messages_accepted_total") },
      { name: "turns completed", points: figures.rate("turns_total", "completed") },
      { name: "turns failed", points: figures.rate("turns_total", "failed") },
    ], rate),
    lineChart("Added latency", latency("added_latency_seconds"), duration),
    lineChart("AI service, one attempt", latency("ai_latency_seconds"), duration),
    lineChart("Delivery, one attempt", latency("delivery_latency_seconds"), duration),
    lineChart("Work in progress", [
      { name: "turns", points: figures.level("turns_running") },
      { name: "busy conversations", points: figures.level("busy_conversations") },
      { name: "messages waiting", points: figures.level("mailbox_messages") },
    ], count),
    lineChart("Trouble a second", [
      { name: "AI failures", points: figures.rate("ai_failures_total") },
      { name: "refused", points: figures.rate("messages_refused_total") },
      { name: "dead letters", points: figures.rate("dead_letters_total") },
    ], rate),
  ];
}
