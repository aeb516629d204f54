// What the device says, in words; and how the elements of the page are made. No text of the device is ever taken as HTML.

const OF_LABEL = {
  angry: "red", disgust: "olive", fear: "violet", happy: "amber", neutral: "slate", sad: "blue", surprise: "teal", unsure: "mute",
};
const OTHERS = ["blue", "amber", "teal", "red", "violet", "olive", "rose", "brown", "slate"];

export const WHY = {
  confidence: "no label is likely enough", dark: "too dark", blurred: "too blurred", tiny: "too small", turned: "turned too far",
};
export const DROPS = {
  busy: "newer one came first", unread: "not read in time", unreadable: "could not be read", budget: "processor budget", hot: "too hot",
};
export const STATES = {
  starting: ["starting", "wait"], waiting: ["waiting for the camera", "warn"], running: ["running", "good"],
  lost: ["camera lost", "bad"], paused: ["paused", "warn"], stopping: ["stopping", "wait"],
};
export const STAGES = { gate: "look", detect: "find", crop: "cut", classify: "read", smooth: "steady", write: "log" };

/** The colour of a label, as a CSS value; labels of other bundles get one by their place. */
export function colour(label, labels) {
  return `var(--${OF_LABEL[label] ?? OTHERS[Math.max(0, labels.indexOf(label)) % OTHERS.length]})`;
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const whole = (n) => Math.round(n).toLocaleString("en");

/** Seconds as people say them. */
export function seconds(s) {
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  return s < 5400 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

/** Minutes and seconds as a clock has them. */
export const countdown = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

export function bytes(n) {
  return n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${Math.round(n / 1e6)} MB`;
}

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child is an element or a text. */
export function made(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The same for a drawing. */
export function drawn(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

/** Puts a text where it changed, so that nothing is drawn, or read aloud, for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Fills a list of terms: rows of [term, value, class]; an empty value leaves the row out. */
export function rows(list, given) {
  const wanted = given.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  while (list.children.length > 2 * wanted.length) list.lastChild.remove();
  while (list.children.length < 2 * wanted.length) list.append(made("dt"), made("dd"));
  wanted.forEach(([term, value, kind], i) => {
    const [dt, dd] = [list.children[2 * i], list.children[2 * i + 1]];
    say(dt, term);
    say(dd, String(value));
    dt.className = kind === "inner" ? kind : "";
    dd.className = kind ?? "";
  });
}
