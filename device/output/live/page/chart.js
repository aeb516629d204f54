// The chart of the last minutes: a column for each few seconds, as high as the share of the time in which a face was in view, in
// the colours of the labels; hatched where the camera gave no frames, dotted where the run was paused or did not exist. The chart
// of the day (day.js) is one with wider columns and another axis. The patterns are in page.html.

import { byId, formatDuration, formatPercent, htmlElement, labelColour, setText, svgElement } from "./words.js";

const NARROW_PX = 600;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 6, 8, 22]; // px around the columns
const MINUTE_S = 60;
const MIN_COLUMN_PX = 5;
const PAGE_COLUMNS = 30; // that a page key moves the cursor

/** The known columns, by the second at which each begins, and the plot that was drawn last. */
export class Chart {
  /** `name` begins the ids of the chart's elements, except for the one of the minutes; `shortSpans_s` are for a run that has just started. */
  constructor(name = "", shortSpans_s = [120, 300]) {
    this.columns = new Map();
    this.plot = null;
    this.cursor = null; // seconds before the end
    this.shortSpans_s = shortSpans_s;
    const part = (id) => byId(name ? `${name}-${id}` : id);
    this.elements = { chart: part("chart"), legend: part("legend"), summary: part("summary"), at: part("at"), title: byId(`${name || "last"}-title`) };
    const { chart } = this.elements;
    chart.addEventListener("pointermove", (event) => this.moveCursor(event.offsetX));
    chart.addEventListener("pointerleave", () => this.moveCursor(null));
    chart.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(chart);
  }

  /** Starts a run: another run of the same boot continues the chart, any other clears it. */
  startRun(labels, column_s, maxColumns, sameBoot) {
    if (!sameBoot || this.labels?.join() !== labels.join()) this.columns.clear();
    Object.assign(this, { labels, column_s, maxColumns });
  }

  addColumns(columns) {
    for (const column of columns) this.columns.set(column.from_s, column);
    const last = Math.max(...this.columns.keys());
    for (const from of this.columns.keys()) if (from < last - this.column_s * this.maxColumns) this.columns.delete(from);
    if (columns.length) this.draw();
  }

  /** The newest column, or undefined. */
  newestColumn() {
    return this.columns.get(Math.max(...this.columns.keys()));
  }

  draw() {
    const { chart, title } = this.elements;
    const width = chart.clientWidth;
    if (!width || !this.labels) return;
    const narrow = width < NARROW_PX;
    const height = narrow ? 150 : 190;
    const newest = this.newestColumn();
    const end_s = newest ? newest.from_s + newest.seconds : 0;
    const known_s = newest ? end_s - Math.min(...this.columns.keys()) : 0;
    const max_s = this.maxSpan_s(narrow);
    const span_s = this.shortSpans_s.find((s) => s >= known_s && s < max_s) ?? max_s;
    setText(title, this.titleText(span_s));
    const plot = { narrow, known_s, width: width - LEFT - RIGHT, height: height - TOP - BOTTOM, span_s, end_s };
    plot.x = (s) => LEFT + plot.width * (1 - (end_s - s) / span_s);
    plot.y = (share) => TOP + plot.height * (1 - share);
    const merged = Math.max(1, Math.ceil(MIN_COLUMN_PX / (plot.width * this.column_s / span_s)));
    this.plot = { ...plot, columns: this.mergedColumns(end_s - span_s, merged) };
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    chart.replaceChildren(...axes(plot, this.ticks(plot)), ...this.gapShapes(), ...this.labelShapes(), ...this.cursorShape());
    this.updateText();
  }

  maxSpan_s(narrow) {
    return this.column_s * this.maxColumns / (narrow ? 2 : 1);
  }

  titleText(span_s) {
    return `The last ${Math.round(span_s / MINUTE_S)} minutes`;
  }

  // What is written below the chart: [{ s, text, anchor }].
  ticks({ narrow, span_s, end_s }) {
    const [ticks, minutes] = [[], Math.round(span_s / MINUTE_S)];
    for (let minute = 0; minute <= minutes - (narrow && minutes > 2); minute += minutes > 5 ? 2 : 1) {
      const anchor = minute === 0 ? "end" : minute === minutes ? "start" : "middle";
      ticks.push({ s: end_s - minute * MINUTE_S, text: minute ? `−${minute} min` : "now", anchor });
    }
    return ticks;
  }

  // The moment of the cursor, and the column there, if there is one.
  momentText(ago_s) {
    return `${formatDuration(ago_s)} ago`;
  }

  // The beginning of the summary.
  sinceText() {
    return "";
  }

  // The columns from from_s on, `count` consecutive ones merged; always in the same groups, or the chart would flicker.
  mergedColumns(from_s, count) {
    const result = [];
    const visible = [...this.columns.values()].filter((c) => c.from_s + c.seconds > from_s + 0.001);
    for (const column of visible.sort((a, b) => a.from_s - b.from_s)) {
      const group = Math.floor(column.from_s / (this.column_s * count) + 0.001);
      const last = result.at(-1);
      if (last?.group === group && column.from_s - last.from_s - last.seconds < 0.01) result[result.length - 1] = { ...merge(last, column), group };
      else result.push({ ...column, group });
    }
    return result;
  }

  // One path for each label, so that hundreds of columns need few elements.
  labelShapes() {
    const { x, y, columns } = this.plot;
    const paths = new Map([...this.labels, "unsure"].map((label) => [label, ""]));
    for (const column of columns) {
      const all_s = sum(column.labels_s);
      if (!all_s) continue;
      const [left, right] = [Math.max(LEFT, x(column.from_s)), x(column.from_s + column.seconds)];
      let share = 0; // of the column's time, from below
      for (const [label, path] of paths) {
        const part = ((column.labels_s[label] ?? 0) / all_s) * (column.face_s / column.seconds);
        if (!part) continue;
        paths.set(label, `${path}M${left.toFixed(2)} ${y(share).toFixed(1)}V${y(share + part).toFixed(1)}H${(right + 0.3).toFixed(2)}V${y(share).toFixed(1)}Z`);
        share += part;
      }
    }
    return [...paths].filter(([, path]) => path).map(([label, path]) => {
      const element = svgElement("path", { d: path });
      element.style.fill = label === "unsure" ? "url(#unsure)" : labelColour(label, this.labels);
      return element;
    });
  }

  // Columns, or their upper parts, in which nothing was observed; and time without any column.
  gapShapes() {
    const { x, y, columns, end_s, span_s } = this.plot;
    const shapes = [];
    const add = (from_s, to_s, share, kind) => {
      if (to_s <= from_s || share <= 0) return;
      const [left, right] = [Math.max(LEFT, x(from_s)), x(to_s)];
      shapes.push(svgElement("rect", { x: left, width: Math.max(0, right - left), y: TOP, height: y(1 - share) - TOP, fill: `url(#${kind})` }));
    };
    let upto_s = columns.length ? columns[0].from_s : end_s;
    for (const column of columns) {
      if (column.from_s - upto_s > 0.01) add(Math.max(upto_s, end_s - span_s), column.from_s, 1, "absent");
      for (const [name, kind] of [["unavailable_s", "absent"], ["paused_s", "paused"]]) {
        const share = column[name] / column.seconds;
        if (share > 0.05) add(column.from_s, column.from_s + column.seconds, share, kind);
      }
      upto_s = column.from_s + column.seconds;
    }
    return shapes;
  }

  cursorShape() {
    if (this.cursor === null) return [];
    const at = this.plot.x(this.plot.end_s - this.cursor);
    return at < LEFT ? [] : [svgElement("line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: TOP + this.plot.height })];
  }

  moveCursor(x) {
    if (!this.plot) return;
    const ago_s = x === null ? null : (1 - (x - LEFT) / this.plot.width) * this.plot.span_s;
    this.cursor = ago_s === null || ago_s < 0 || ago_s > this.plot.span_s ? null : ago_s;
    this.draw();
  }

  onKey(event) {
    const change_s = { ArrowLeft: this.column_s, ArrowRight: -this.column_s, PageUp: PAGE_COLUMNS * this.column_s, PageDown: -PAGE_COLUMNS * this.column_s }[event.key];
    if (!change_s || !this.plot) return;
    event.preventDefault();
    this.cursor = Math.min(this.plot.span_s, Math.max(0, (this.cursor ?? -change_s) + change_s));
    this.draw();
  }

  // The chart as text and shares, for readers who cannot see the drawing.
  updateText() {
    const { columns, end_s } = this.plot;
    const { legend, summary, at: atText } = this.elements;
    const total = (name) => columns.reduce((s, column) => s + column[name], 0);
    const [observed_s, face_s, away_s, paused_s] = ["observed_s", "face_s", "unavailable_s", "paused_s"].map(total);
    const shares = labelShares(columns);
    const labels = [...this.labels, "unsure"].map((label) => [label, shares[label] ?? 0]);
    const items = labels.map(([label, share]) => legendItem(label, face_s ? formatPercent(share) : "–", labelColour(label, this.labels), label === "unsure" ? "unsure" : ""));
    if (away_s > 0.5) items.push(legendItem("camera away", formatDuration(away_s), "", "gap"));
    if (paused_s > 0.5) items.push(legendItem("paused", formatDuration(paused_s), "", "pause"));
    legend.replaceChildren(...items);
    const main = labels.filter(([, share]) => share >= 0.005).sort((a, b) => b[1] - a[1]).slice(0, 3);
    const mainText = main.map(([label, share]) => `${label} ${formatPercent(share)}`).join(", ");
    const observedText = `Observed for ${formatDuration(observed_s)}; a face was in view for ${formatPercent(observed_s ? face_s / observed_s : 0)} of that`;
    setText(summary, `${this.sinceText()}${observedText}${mainText ? `: ${mainText} of the faces’ time` : ""}.`);
    const at = this.cursor === null ? null : columns.find((c) => c.from_s <= end_s - this.cursor && end_s - this.cursor <= c.from_s + c.seconds);
    setText(atText, this.cursor === null ? "" : `${this.momentText(this.cursor, at)}: ${at ? columnText(at) : "nothing is known"}`);
  }
}

function merge(first, second) {
  const both = { ...first, labels_s: { ...first.labels_s } };
  for (const name of ["seconds", "observed_s", "unavailable_s", "paused_s", "face_s"]) both[name] += second[name];
  for (const [label, s] of Object.entries(second.labels_s)) both.labels_s[label] = (both.labels_s[label] ?? 0) + s;
  return both;
}

function columnText(column) {
  if (column.paused_s > column.seconds / 2) return "paused";
  if (column.unavailable_s > column.seconds / 2) return "the camera gave no frames";
  if (!column.face_s) return "no face in view";
  const shares = Object.entries(labelShares([column])).sort((a, b) => b[1] - a[1]);
  return shares.map(([label, share]) => `${label} ${formatPercent(share)}`).join(", ");
}

function labelShares(columns) {
  const sums = {};
  for (const { labels_s } of columns) for (const [label, s] of Object.entries(labels_s)) sums[label] = (sums[label] ?? 0) + s;
  const all_s = sum(sums);
  return Object.fromEntries(Object.entries(sums).map(([label, s]) => [label, all_s ? s / all_s : 0]));
}

const sum = (values) => Object.values(values).reduce((total, value) => total + value, 0);

function legendItem(name, value, ink, kind) {
  const dot = htmlElement("i", { class: `dot ${kind}`, "aria-hidden": "true" });
  if (ink) dot.style.setProperty("--ink-of", ink);
  return htmlElement("li", {}, dot, name, htmlElement("span", {}, value));
}

function axes({ x, y, width }, ticks) {
  const shapes = [];
  for (const [share, text] of [[0, "0"], [0.5, "50 %"], [1, "100 %"]]) {
    shapes.push(svgElement("line", { class: "grid", x1: LEFT, x2: LEFT + width, y1: y(share), y2: y(share) }));
    shapes.push(svgElement("text", { x: LEFT - 8, y: y(share) + 4, "text-anchor": "end" }, text));
  }
  for (const { s, text, anchor } of ticks) shapes.push(svgElement("text", { x: x(s), y: y(0) + 17, "text-anchor": anchor ?? "middle" }, text));
  return shapes;
}
