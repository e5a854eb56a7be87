// What was given up: look at it, try it again.

import { get, post } from "./api.js";
import { badge, button, conversationLink, counted, element, fill, moment, number, table } from "./dom.js";

const PAGE = 50;
const MOST = 500;
const COLUMNS = ["Conversation", "Kind", "Reason", "Error", "Attempts", "Given up", "Action"];
const BASE = "/api/v1/admin/dead-letters";

export function create(context, _id, query) {
  let limit = PAGE;
  const kind = element("select", { id: "kind", onchange: () => context.refresh(true) },
    [["", "both"], ["message", "turns that failed"], ["delivery", "answers not delivered"]].map(([value, text]) =>
      element("option", { value, selected: value === (query.get("kind") ?? "") }, text)));
  const all = button("Try all again", "all", retryAll);
  const count = counted();
  const list = element("div", {});
  const node = element("div", {},
    element("h1", { tabindex: -1 }, "Dead letters"),
    element("div", { class: "filters" },
      element("div", {}, element("label", { for: "kind" }, "Kind"), kind), all),
    count.node, list);

  async function update() {
    const page = await get(BASE, { limit, kind: kind.value });
    all.disabled = !page.dead_letters.length;
    count.tell(page.dead_letters.length, page.total_dead_letters);
    fill(list,
      table("Dead letters", COLUMNS, page.dead_letters.map(row), "Nothing was given up."),
      page.next_cursor && limit < MOST ? button("Show more", "more", () => { limit = Math.min(MOST, limit * 2); context.refresh(true); }) : null);
  }

  function row(it) {
    return [
      conversationLink(it.conversation_id),
      badge(it.kind === "message" ? "turn" : "delivery", "warn"),
      (it.reason ?? "–").replaceAll("_", " "),
      it.error ?? "–",
      number(it.attempts),
      moment(it.dead_letter_at),
      button("Try again", `retry ${it.id}`, () => retry(it.id)),
    ];
  }

  async function retry(id) {
    await context.act(async () => { await post(`${BASE}/${id}/retry`); return "It is tried again"; });
  }

  async function retryAll() {
    const what = kind.selectedOptions[0].textContent;
    const sure = await context.ask("Try all again?", `All that were given up until now (${what}) are tried again.`, "Try all again");
    if (!sure) return;
    await context.act(async () => {
      const { retried } = await post(kind.value ? `${BASE}/retry?kind=${kind.value}` : `${BASE}/retry`);
      return `Tried again: ${number(retried.messages)} turns, ${number(retried.deliveries)} deliveries`;
    });
  }
  return { node, title: "Dead letters", update };
}
