// Line charts as SVG; their words stand beside them, so that they keep their size on any screen.

import { drawing, element } from "./dom.js";

const HEIGHT = 100;
const WIDTH = 300;
const SHORTEST_SECONDS = 60;

// lines: [{name, points: [[unix seconds, value or null], …]}]; format makes a value readable.
export function lineChart(title, lines, format) {
  const times = lines.flatMap((line) => line.points.map(([at]) => at));
  const end = Math.max(...times, 0);
  const begin = Math.min(Math.min(...times, end), end - SHORTEST_SECONDS);
  const values = lines.flatMap((line) => line.points.map(([, value]) => value)).filter((it) => it !== null);
  const top = ceiling(Math.max(...values, 0));
  const place = ([at, value]) =>
    `${(((at - begin) / (end - begin)) * WIDTH).toFixed(1)},${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`;
  const words = lines.map((line) => `${line.name}: ${spoken(line, format)}`).join(", ");
  return element("figure", { class: "chart" },
    element("figcaption", {}, title),
    element("div", { class: "plot" },
      element("span", { class: "top-label", "aria-hidden": "true" }, values.length ? format(top) : ""),
      drawing("svg", {
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}. Now ${words}`,
      },
      [0.25, 0.5, 0.75].map((part) =>
        drawing("line", { class: "grid", x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT })),
      lines.map((line, index) => pieces(line.points).map((piece) =>
        drawing("polyline", { class: `line line-${index}`, points: piece.map(place).join(" ") })))),
      element("span", { class: "axis", "aria-hidden": "true" },
        element("span", {}, `${Math.round((end - begin) / 60)} min ago`), element("span", {}, "now"))),
    element("ul", { class: "legend", "aria-hidden": "true" }, lines.map((line, index) =>
      element("li", {}, element("span", { class: `key line-${index}` }), `${line.name} `,
        element("b", {}, spoken(line, format))))));
}

function spoken(line, format) {
  const value = line.points.at(-1)?.[1];
  return value === null || value === undefined ? "–" : format(value);
}

// The runs of points that have a value; one alone becomes a short line.
function pieces(points) {
  const found = [];
  let run = [];
  for (const point of [...points, [0, null]]) {
    if (point[1] !== null) run.push(point);
    else if (run.length) {
      found.push(run.length > 1 ? run : [[run[0][0] - 1, run[0][1]], run[0]]);
      run = [];
    }
  }
  return found;
}

// The next round number.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((it) => it * power).find((it) => it >= value * 1.02) ?? 20 * power;
}

// How a part of a whole looks; what it says stands beside it.
export function bar(part) {
  return drawing("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("rect", { class: "bar-all", width: 100, height: 8 }),
    drawing("rect", { class: "bar-part", width: Math.max(0, Math.min(100, part * 100)).toFixed(1), height: 8 }));
}
