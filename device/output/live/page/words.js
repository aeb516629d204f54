// The texts of the page, the formatting of values, and helpers for elements. No text of the device is ever used as HTML.

const dark = matchMedia("(prefers-color-scheme: dark)");
let palette = []; // [on a light ground, on a dark ground] of each label of the run

/** Sets the colours of the run's labels, which the device sends; they follow the scheme of the page. */
export function setPalette(colours) {
  palette = colours;
  colours.forEach((pair, i) => document.documentElement.style.setProperty(`--label-${i}`, pair[Number(dark.matches)]));
}
dark.addEventListener("change", () => setPalette(palette));

export const UNSURE_REASONS = {
  confidence: "no label is probable enough", dark: "too dark", blurred: "too blurred", tiny: "too small", turned: "turned too far",
};
export const DROP_REASONS = {
  busy: "a newer one arrived first", unread: "not read in time", unreadable: "could not be decoded", budget: "processor budget", hot: "too hot",
};
export const STATES = {
  starting: ["starting", "wait"], waiting: ["waiting for the camera", "warn"], running: ["running", "good"],
  lost: ["camera lost", "bad"], paused: ["paused", "warn"], stopping: ["stopping", "wait"],
};

/** The colour of a label, as a CSS value; the muted one of what is no label, which is hatched besides. */
export function labelColour(label, labels) {
  const at = labels.indexOf(label);
  return at < 0 ? "var(--mute)" : `var(--label-${at})`;
}

export const formatPercent = (share) => `${Math.round(share * 100)} %`;
export const formatCount = (n) => Math.round(n).toLocaleString("en");

/** A duration in s, min or h. */
export function formatDuration(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

/** A duration as minutes:seconds. */
export const formatCountdown = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

export function formatBytes(n) {
  return n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${Math.round(n / 1e6)} MB`;
}

export const byId = (id) => document.getElementById(id);

/** An HTML element with attributes and children; a child is an element or a text. */
export function htmlElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** An SVG element with attributes and a text. */
export function svgElement(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

/** Sets a text if it changed, so that unchanged text is neither redrawn nor read aloud again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fills a description list with rows of [term, value, class]; a row with an empty value is left out. */
export function fillRows(list, rows) {
  const visible = rows.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  while (list.children.length > 2 * visible.length) list.lastChild.remove();
  while (list.children.length < 2 * visible.length) list.append(htmlElement("dt"), htmlElement("dd"));
  visible.forEach(([term, value, kind], i) => {
    const [dt, dd] = [list.children[2 * i], list.children[2 * i + 1]];
    setText(dt, term);
    setText(dd, String(value));
    dt.className = kind === "inner" ? kind : "";
    dd.className = kind ?? "";
  });
}
