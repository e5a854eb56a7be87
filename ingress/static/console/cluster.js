// The processes: hosts with their shards, and writers.

import { bar } from "./charts.js";
import { badge, element, fill, number, table } from "./dom.js";

const HOSTS = ["Host", "Node", "Process", "Shards", "Conversations", "Turns", "Waiting", "Leases", "Redis"];

export function create() {
  const hosts = element("div", {});
  const writers = element("div", {});
  const node = element("div", {},
    element("h1", { tabindex: -1 }, "Cluster"),
    element("section", { "aria-labelledby": "hosts" }, element("h2", { id: "hosts" }, "Conversation hosts"), hosts),
    element("section", { "aria-labelledby": "writers" }, element("h2", { id: "writers" }, "Storage writers"), writers));

  function update(overview) {
    const found = overview.actors.filter((it) => it.kind === "ConversationHost");
    const shards = found.reduce((sum, it) => sum + it.shards, 0);
    fill(hosts, table("Conversation hosts", HOSTS, found.map((it) => row(it, shards)), "No host answers."));
    fill(writers, table("Storage writers", ["Writer", "PostgreSQL"],
      overview.actors.filter((it) => it.kind === "StorageWriter").map((it) => [
        it.name, reachable(it.has_database)]), "No writer answers."));
  }
  return { node, title: "Cluster", update };
}

function row(it, shards) {
  return [
    element("span", { title: `incarnation: ${it.owner}` }, it.name),
    it.node,
    String(it.process_id),
    element("span", { class: "share" }, number(it.shards), bar(shards ? it.shards / shards : 0)),
    number(it.conversations),
    number(it.turns),
    number(it.waiting_messages),
    number(it.redis_leases + it.database_leases),
    reachable(it.has_redis),
  ];
}

function reachable(is) {
  return badge(is ? "reached" : "not reached", is ? "good" : "warn");
}
