// The list of conversations, newest first, with search and filters that stand in the address.

import { get } from "./api.js";
import { button, conversationLink, counted, element, fill, moment, number, table } from "./dom.js";
import { reasonBadges, stateBadge } from "./reasons.js";

const PAGE = 50;
const MOST = 500;
const TYPING_MS = 250;
const COLUMNS = ["Conversation", "Status", "Waits for", "Waiting", "Bot", "Owner", "Last message"];

export function create(context, _id, query) {
  let limit = PAGE;
  let timer;
  let asked = 0;
  const search = element("input", { id: "search", type: "search", value: query.get("search") ?? "", autocomplete: "off",
    spellcheck: "false", placeholder: "part of an id", maxlength: 255, oninput: typed });
  const status = element("select", { id: "status", onchange: changed },
    [["", "any"], ["active", "active"], ["with_agent", "with agent"], ["ended", "ended"]].map(([value, text]) =>
      element("option", { value, selected: value === (query.get("status") ?? "") }, text)));
  const waiting = element("input", { id: "waiting", type: "checkbox", checked: query.get("waiting") === "true", onchange: changed });
  const count = counted();
  const list = element("div", {});
  const node = element("div", {},
    element("h1", { tabindex: -1 }, "Conversations"),
    element("div", { class: "filters", role: "search" },
      element("div", {}, element("label", { for: "search" }, "Search ", element("kbd", {}, "/")), search),
      element("div", {}, element("label", { for: "status" }, "Status"), status),
      element("div", { class: "check" }, waiting, element("label", { for: "waiting" }, "Only those that wait"))),
    count.node, list);

  function typed() {
    clearTimeout(timer);
    timer = setTimeout(changed, TYPING_MS);
  }

  function changed() {
    limit = PAGE;
    const fields = Object.entries(filters()).filter(([, value]) => value);
    const text = new URLSearchParams(fields).toString();
    history.replaceState(null, "", text ? `#/conversations?${text}` : "#/conversations");
    context.refresh(true);
  }

  function filters() {
    return { search: search.value.trim(), status: status.value, waiting: waiting.checked ? "true" : "" };
  }

  async function update() {
    asked += 1;
    const mine = asked;
    const page = await get("/api/v1/admin/conversations", { limit, ...filters() });
    if (mine !== asked) return; // the filters were changed meanwhile
    count.tell(page.conversations.length, page.total_conversations);
    fill(list,
      table("Conversations", COLUMNS, page.conversations.map(row), "No conversation is like that."),
      page.next_cursor && limit < MOST ? button("Show more", "more", more) : null);
  }

  function more() {
    limit = Math.min(MOST, limit * 2);
    context.refresh(true);
  }
  return { node, title: "Conversations", update, search };
}

function row(it) {
  return [
    conversationLink(it.conversation_id),
    stateBadge(it.status),
    it.waits_for.length ? element("span", {}, reasonBadges(it.waits_for)) : "–",
    number(it.waiting_messages),
    it.bot_id ?? "–",
    it.owner ?? "–",
    moment(it.last_accepted_at),
  ];
}
