// Makes elements. What came from outside is only ever set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((it) => it !== null && it !== undefined && it !== ""));
  return node;
}

// Replaces what an element holds; whoever had the focus (by its data-key) keeps it, and what was
// opened stays open. What is as it was is left alone, with whatever a person has selected in it.
export function fill(target, ...children) {
  const fresh = children.flat().filter((it) => it !== null && it !== undefined);
  const is = [...target.childNodes];
  if (is.length === fresh.length && is.every((it, index) => it.isEqualNode(fresh[index]))) return;
  const active = document.activeElement;
  const key = active && target.contains(active) ? active.dataset.key : undefined;
  const open = [...target.querySelectorAll("details[open][data-key]")].map((it) => it.dataset.key);
  target.replaceChildren(...fresh);
  for (const it of open) byKey(target, it)?.setAttribute("open", "");
  if (key) byKey(target, key)?.focus({ preventScroll: true });
}

function byKey(target, key) {
  return target.querySelector(`[data-key="${CSS.escape(key)}"]`);
}

export function button(text, key, onclick, kind = "") {
  return element("button", { type: "button", class: kind, "data-key": key, onclick }, text);
}

export function badge(text, tone = "") {
  return element("span", { class: `badge ${tone}` }, text);
}

// A table that turns into cards on a narrow screen: each cell says which column it is of, and the
// roles are named, since what is not laid out as a table would not be told as one.
export function table(caption, columns, rows, emptyText) {
  if (!rows.length) return element("p", { class: "empty" }, emptyText);
  const head = element("tr", { role: "row" }, columns.map((it) =>
    element("th", { scope: "col", role: "columnheader" }, it)));
  const body = rows.map((cells) =>
    element("tr", { role: "row" }, cells.map((cell, index) => (index
      ? element("td", { role: "cell", "data-column": columns[index] }, cell)
      : element("th", { role: "rowheader", scope: "row" }, cell)))));
  return element("div", { class: "table" },
    element("table", { role: "table" },
      element("caption", { class: "unseen" }, caption),
      element("thead", { role: "rowgroup" }, head),
      element("tbody", { role: "rowgroup" }, body)));
}

// A moment (Unix seconds), as long ago.
export function moment(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return String(seconds);
  return element("time", { datetime: date.toISOString(), title: date.toLocaleString() },
    ago(Date.now() / 1000 - seconds));
}

function ago(seconds) {
  const distance = duration(Math.abs(seconds));
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${distance} ago` : `in ${distance}`;
}

export function duration(seconds) {
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function number(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

// How many are shown, which is spoken when it changes, and of how many, which is not.
export function counted() {
  const shown = element("span", { role: "status" });
  const all = element("span", {});
  const show = (part, text) => { if (part.textContent !== text) part.textContent = text; };
  return {
    node: element("p", { class: "hint" }, shown, all),
    tell(count, total) {
      show(shown, `${number(count)} shown`);
      show(all, `, ${number(total)} in all`);
    },
  };
}

export function conversationLink(id) {
  return element("a", { href: `#/conversations/${encodeURIComponent(id)}`, "data-key": `go ${id}`, class: "id" }, id);
}
