// The review page: shows one face at a time; a key or a button moves it into a class. No text is ever used as HTML.

import { openSession } from "./session.js";
import { byId, formatCount, htmlElement, setText } from "./words.js";

let state = null;
let queue = []; // names of the faces that wait, in the order in which they are shown
let isBusy = false;
let askForToken = () => {};

/** Asks for the state, or takes a step, after which the answer is the state; one request at a time. */
async function request(path, body) {
  if (isBusy) return;
  isBusy = true;
  try {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    const response = await fetch(path, { cache: "no-store", ...options });
    if (response.status === 401) return askForToken();
    if (!response.ok) {
      const sentence = (await response.text()).trim();
      isBusy = false;
      if (path !== "state") await request("state"); // what changed in another window, or in the folder
      return showNotice(sentence);
    }
    showNotice("");
    show(await response.json());
  } catch {
    showNotice("The page is no longer served; start fer-edge collect review again.");
    showState("away", "bad");
  } finally {
    isBusy = false;
  }
}

function show(next) {
  state = next;
  const later = queue.filter((name) => state.faces.includes(name)); // the order of those that were put off
  const isNew = (name) => !later.includes(name);
  queue = state.faces.length && isNew(state.faces[0]) ? [...state.faces.filter(isNew), ...later] : [...later, ...state.faces.filter(isNew)];
  byId("entry").hidden = true;
  byId("main").hidden = false;
  showState(state.waiting ? `${formatCount(state.waiting)} left` : "done", state.waiting ? "wait" : "good");
  render();
}

function render() {
  const [name] = queue;
  const face = byId("face");
  face.hidden = !name;
  if (name) face.src = `face/${name}`;
  face.alt = name ? `a face, collected ${timeOf(name)}` : "";
  setText(byId("facts"), name ? `collected ${timeOf(name)}` : "No face waits for a label.");
  byId("undo").disabled = !state.can_undo;
  byId("skip").disabled = queue.length < 2;
  byId("delete").disabled = !name;
  byId("classes").replaceChildren(...state.classes.map(({ label, key, count }) => {
    const button = htmlElement("button", { type: "button" }, htmlElement("kbd", {}, key),
      htmlElement("span", { class: "label" }, label), htmlElement("span", { class: "count" }, formatCount(count)));
    button.disabled = !name;
    button.addEventListener("click", () => choose(label));
    return htmlElement("li", {}, button);
  }));
}

/** The time in a face's name, which is all digits of an ISO time, in UTC. */
function timeOf(name) {
  const [, year, month, day, hour, minute] = name.match(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)/) ?? [];
  return year ? `${year}-${month}-${day} ${hour}:${minute} UTC` : "";
}

const choose = (label) => queue.length && request("label", { face: queue[0], label });
const undo = () => state.can_undo && request("undo", {});
const remove = () => queue.length && request("delete", { face: queue[0] });
function skip() {
  queue = [...queue.slice(1), ...queue.slice(0, 1)];
  render();
}

byId("undo").addEventListener("click", undo);
byId("skip").addEventListener("click", skip);
byId("delete").addEventListener("click", remove);
byId("more").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = byId("name").value;
  byId("name").value = "";
  await request("class", { label: name });
  byId("name").blur(); // the keys are those of the classes again
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement;
  if (!state || isTyping || event.repeat || event.ctrlKey || event.altKey || event.metaKey || byId("main").hidden) return;
  const key = event.key.toLowerCase();
  const chosen = state.classes.find((one) => one.key === key);
  const action = { u: undo, x: remove, arrowright: skip }[key] ?? (chosen && (() => choose(chosen.label)));
  if (!action) return;
  event.preventDefault();
  action();
});

function showState(text, tone) {
  setText(byId("state"), text);
  byId("state").dataset.tone = tone;
}

function showNotice(text) {
  byId("notice").hidden = !text;
  byId("notice").dataset.tone = "warn";
  setText(byId("notice"), text);
}

askForToken = openSession(() => request("state"), () => showState("locked", "wait"));
