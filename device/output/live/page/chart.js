// The last minutes: columns of some seconds, as high as the share of the time in which a face was in view, in the colours
// of what it showed; hatched where the camera gave nothing, dotted where the run was paused or did not run.

import { byId, colour, drawn, made, percent, say, seconds } from "./words.js";

const NARROW_PX = 600;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 6, 8, 22]; // px around the columns
const MINUTE_S = 60;
const THINNEST_PX = 5; // of what stands side by side
const SPANS_S = [120, 300]; // that are enough for a run that is young

/** The columns that are known, by the second at which each begins, and what was drawn last. */
export class Chart {
  constructor() {
    this.columns = new Map();
    this.drawn = null;
    this.cursor = null; // seconds before the end
    const chart = byId("chart");
    chart.addEventListener("pointermove", (event) => this.point(event.offsetX));
    chart.addEventListener("pointerleave", () => this.point(null));
    chart.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(chart);
  }

  /** Another run of the same boot goes on in the same chart, any other begins anew. */
  begin(labels, column_s, kept, sameBoot) {
    if (!sameBoot || this.labels?.join() !== labels.join()) this.columns.clear();
    Object.assign(this, { labels, column_s, kept });
  }

  add(columns) {
    for (const column of columns) this.columns.set(column.from_s, column);
    const last = Math.max(...this.columns.keys());
    for (const from of this.columns.keys()) if (from < last - this.column_s * this.kept) this.columns.delete(from);
    if (columns.length) this.draw();
  }

  /** The newest column, or nothing. */
  newest() {
    return this.columns.get(Math.max(...this.columns.keys()));
  }

  draw() {
    const chart = byId("chart");
    const width = chart.clientWidth;
    if (!width || !this.labels) return;
    const narrow = width < NARROW_PX;
    const height = narrow ? 150 : 190;
    const newest = this.newest();
    const end_s = newest ? newest.from_s + newest.seconds : 0;
    const known_s = newest ? end_s - Math.min(...this.columns.keys()) : 0;
    const most_s = this.column_s * this.kept / (narrow ? 2 : 1);
    const span_s = SPANS_S.find((s) => s >= known_s && s < most_s) ?? most_s;
    say(byId("last-title"), `The last ${Math.round(span_s / MINUTE_S)} minutes`);
    const plot = { width: width - LEFT - RIGHT, height: height - TOP - BOTTOM, span_s, end_s };
    plot.x = (s) => LEFT + plot.width * (1 - (end_s - s) / span_s);
    plot.y = (share) => TOP + plot.height * (1 - share);
    const together = Math.max(1, Math.ceil(THINNEST_PX / (plot.width * this.column_s / span_s)));
    this.drawn = { ...plot, shown: this.within(end_s - span_s, together) };
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.replaceChildren(patterns(), ...axes(plot, narrow), ...this.gaps(), ...this.bars(), ...this.line());
    this.tell();
  }

  // The columns from then on, so many that follow each other put together; always the same ones, or the chart would flicker.
  within(from_s, together) {
    const found = [];
    const known = [...this.columns.values()].filter((c) => c.from_s + c.seconds > from_s + 0.001);
    for (const column of known.sort((a, b) => a.from_s - b.from_s)) {
      const place = Math.floor(column.from_s / (this.column_s * together) + 0.001);
      const last = found.at(-1);
      if (last?.place === place && column.from_s - last.from_s - last.seconds < 0.01) found[found.length - 1] = { ...sum(last, column), place };
      else found.push({ ...column, place });
    }
    return found;
  }

  // One path a label: hundreds of columns are a few elements.
  bars() {
    const { x, y, shown } = this.drawn;
    const paths = new Map([...this.labels, "unsure"].map((label) => [label, ""]));
    for (const column of shown) {
      const all_s = total(column.labels_s);
      if (!all_s) continue;
      const [left, right] = [x(column.from_s), x(column.from_s + column.seconds)];
      let share = 0; // of the column's time, from below
      for (const [label, path] of paths) {
        const part = ((column.labels_s[label] ?? 0) / all_s) * (column.face_s / column.seconds);
        if (!part) continue;
        paths.set(label, `${path}M${left.toFixed(2)} ${y(share).toFixed(1)}V${y(share + part).toFixed(1)}H${(right + 0.3).toFixed(2)}V${y(share).toFixed(1)}Z`);
        share += part;
      }
    }
    return [...paths].filter(([, path]) => path).map(([label, path]) => {
      const element = drawn("path", { d: path });
      element.style.fill = colour(label, this.labels);
      return element;
    });
  }

  // Whole columns and parts of columns in which nothing was observed, from above; and time of which nothing is known.
  gaps() {
    const { x, y, shown, end_s, span_s } = this.drawn;
    const found = [];
    const add = (from_s, to_s, share, kind) => {
      if (to_s <= from_s || share <= 0) return;
      const [left, right] = [Math.max(LEFT, x(from_s)), x(to_s)];
      found.push(drawn("rect", { x: left, width: Math.max(0, right - left), y: TOP, height: y(1 - share) - TOP, fill: `url(#${kind})` }));
    };
    let upto_s = shown.length ? shown[0].from_s : end_s;
    for (const column of shown) {
      if (column.from_s - upto_s > 0.01) add(Math.max(upto_s, end_s - span_s), column.from_s, 1, "absent");
      for (const [name, kind] of [["unavailable_s", "absent"], ["paused_s", "paused"]]) {
        const share = column[name] / column.seconds;
        if (share > 0.05) add(column.from_s, column.from_s + column.seconds, share, kind);
      }
      upto_s = column.from_s + column.seconds;
    }
    return found;
  }

  line() {
    if (this.cursor === null) return [];
    const at = this.drawn.x(this.drawn.end_s - this.cursor);
    return at < LEFT ? [] : [drawn("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: TOP + this.drawn.height })];
  }

  point(x) {
    if (!this.drawn) return;
    const ago_s = x === null ? null : (1 - (x - LEFT) / this.drawn.width) * this.drawn.span_s;
    this.cursor = ago_s === null || ago_s < 0 || ago_s > this.drawn.span_s ? null : ago_s;
    this.draw();
  }

  key(event) {
    const step = { ArrowLeft: this.column_s, ArrowRight: -this.column_s, PageUp: MINUTE_S, PageDown: -MINUTE_S }[event.key];
    if (!step || !this.drawn) return;
    event.preventDefault();
    this.cursor = Math.min(this.drawn.span_s, Math.max(0, (this.cursor ?? -step) + step));
    this.draw();
  }

  // In words and shares: what the drawing shows must be readable without it.
  tell() {
    const { shown, end_s } = this.drawn;
    const all = (name) => shown.reduce((s, column) => s + column[name], 0);
    const [observed_s, face_s, away_s, paused_s] = ["observed_s", "face_s", "unavailable_s", "paused_s"].map(all);
    const by = shares(shown);
    const legend = [...this.labels, "unsure"].map((label) => [label, by[label] ?? 0, colour(label, this.labels), ""]);
    const items = legend.map(([label, share, ink]) => item(label, face_s ? percent(share) : "–", ink, ""));
    if (away_s > 0.5) items.push(item("camera away", seconds(away_s), "", "gap"));
    if (paused_s > 0.5) items.push(item("paused", seconds(paused_s), "", "pause"));
    byId("legend").replaceChildren(...items);
    const most = legend.filter(([, share]) => share >= 0.005).sort((a, b) => b[1] - a[1]).slice(0, 3);
    const what = most.map(([label, share]) => `${label} ${percent(share)}`).join(", ");
    const looked = `Looked for ${seconds(observed_s)}; a face was in view for ${percent(observed_s ? face_s / observed_s : 0)} of that`;
    say(byId("told"), `${looked}${what ? `: ${what} of the faces’ time` : ""}.`);
    const at = this.cursor === null ? null : shown.find((c) => c.from_s <= end_s - this.cursor && end_s - this.cursor <= c.from_s + c.seconds);
    say(byId("at"), this.cursor === null ? "" : `${seconds(this.cursor)} ago: ${at ? columnTold(at) : "nothing is known"}`);
  }
}

function sum(one, next) {
  const both = { ...one, labels_s: { ...one.labels_s } };
  for (const name of ["seconds", "observed_s", "unavailable_s", "paused_s", "face_s"]) both[name] += next[name];
  for (const [label, s] of Object.entries(next.labels_s)) both.labels_s[label] = (both.labels_s[label] ?? 0) + s;
  return both;
}

function columnTold(column) {
  if (column.paused_s > column.seconds / 2) return "paused";
  if (column.unavailable_s > column.seconds / 2) return "the camera gave nothing";
  if (!column.face_s) return "no face in view";
  const by = Object.entries(shares([column])).sort((a, b) => b[1] - a[1]);
  return by.map(([label, share]) => `${label} ${percent(share)}`).join(", ");
}

function shares(columns) {
  const sums = {};
  for (const { labels_s } of columns) for (const [label, s] of Object.entries(labels_s)) sums[label] = (sums[label] ?? 0) + s;
  const all = total(sums);
  return Object.fromEntries(Object.entries(sums).map(([label, s]) => [label, all ? s / all : 0]));
}

const total = (by) => Object.values(by).reduce((all, s) => all + s, 0);

function item(name, value, ink, kind) {
  const dot = made("i", { class: `dot ${kind}`, "aria-hidden": "true" });
  if (ink) dot.style.setProperty("--ink-of", ink);
  return made("li", {}, dot, name, made("span", {}, value));
}

function axes({ x, y, width, span_s, end_s }, narrow) {
  const found = [];
  for (const [share, text] of [[0, "0"], [0.5, "50 %"], [1, "100 %"]]) {
    found.push(drawn("line", { class: "grid", x1: LEFT, x2: LEFT + width, y1: y(share), y2: y(share) }));
    found.push(drawn("text", { x: LEFT - 8, y: y(share) + 4, "text-anchor": "end" }, text));
  }
  const minutes = Math.round(span_s / MINUTE_S);
  for (let minute = 0; minute <= minutes - (narrow && minutes > 2); minute += minutes > 5 ? 2 : 1) {
    const at = x(end_s - minute * MINUTE_S);
    const anchor = minute === 0 ? "end" : minute === minutes ? "start" : "middle";
    found.push(drawn("text", { x: at, y: y(0) + 17, "text-anchor": anchor }, minute ? `−${minute} min` : "now"));
  }
  return found;
}

function patterns() {
  const defs = drawn("defs");
  const hatch = drawn("pattern", { id: "absent", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  const stroke = drawn("rect", { width: 2.4, height: 6 });
  stroke.style.fill = "var(--gap)";
  hatch.append(stroke);
  const dots = drawn("pattern", { id: "paused", width: 7, height: 7, patternUnits: "userSpaceOnUse" });
  const dot = drawn("circle", { cx: 2, cy: 2, r: 1.3 });
  dot.style.fill = "var(--mute)";
  dots.append(dot);
  defs.append(hatch, dots);
  return defs;
}
