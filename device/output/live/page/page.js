// The page: gets the token out of the address, keeps a stream of events open, and says so while it cannot.

import { Chart } from "./chart.js";
import { showFaces, showNobody, showWhere } from "./faces.js";
import { DROPS, STAGES, STATES, byId, bytes, colour, made, percent, rows, say, seconds, whole } from "./words.js";

const SILENT_MS = 5000; // the device says something each second
const HIDDEN_MS = 30000; // a page that nobody looks at lets its device rest
const AGAIN_MS = [500, 1000, 2000, 4000];
const SPOKEN_MS = 10000;

const chart = new Chart();
let run = null;
let now = null;
let heardMs = 0; // performance.now() when the device was last heard, or asked
let toldMs = 0; // and of what is shown
let stream = null; // what ends the open one
let failures = 0;
let timer = 0;
let spokenMs = -SPOKEN_MS;
let restarted = "";

async function enter() {
  const given = location.hash.match(/^#token=([\w.~+/=-]+)$/)?.[1]; // as it is: a + is a +
  if (location.hash) history.replaceState(null, "", location.pathname);
  if (given && !(await opens(given))) return ask("That is not the token of this run.");
  return listen();
}

async function opens(token) {
  try {
    return (await fetch("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } })).ok;
  } catch {
    return true; // it is away: what follows will say so
  }
}

function ask(refused = "") {
  byId("entry").hidden = false;
  byId("main").hidden = true;
  byId("notice").hidden = true;
  pill("locked", "wait");
  say(byId("refused"), refused);
  byId("token").focus();
}

byId("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = byId("token").value.trim();
  byId("token").value = "";
  if (!(await opens(given))) return ask("That is not the token of this run.");
  byId("entry").hidden = true;
  return listen();
});

async function listen() {
  clearTimeout(timer);
  stream?.abort();
  const mine = stream = new AbortController();
  heardMs = performance.now();
  try {
    const answer = await fetch("events", { cache: "no-store", signal: mine.signal });
    if (answer.status === 401) return ask();
    if (!answer.ok) throw new Error(await answer.text());
    await read(answer.body, mine);
    throw new Error("The device closed the connection.");
  } catch (error) {
    if (mine === stream && !mine.signal.aborted) away(error);
  }
}

// Events as the HTML standard writes them, of which the device uses two fields.
async function read(body, mine) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done || mine !== stream) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [, kind, data] = part.match(/^event: (\w+)\ndata: (.*)$/) ?? [];
      if (kind) hear(kind, JSON.parse(data));
    }
  }
}

function hear(kind, told) {
  heardMs = performance.now();
  if (kind === "bye") {
    if (now) now.ended = told.ended || "the device said goodbye";
    return;
  }
  failures = 0;
  byId("entry").hidden = true;
  byId("main").hidden = false;
  byId("main").classList.remove("away");
  if (kind === "whole") begin(told);
  if (told.columns.length) chart.add(told.columns);
  now = told.now;
  toldMs = heardMs;
  show();
}

function begin(told) {
  const other = run && (run.boot !== told.run.boot || run.started_s !== told.run.started_s);
  if (other) restarted = "The run was started anew: track numbers begin again.";
  if (!told.run.labels) return;
  chart.begin(told.run.labels, told.column_s, told.columns_kept, run?.boot === told.run.boot);
  run = told.run;
  const name = run.name === "camera" ? "fer-edge" : `fer-edge · ${run.name}`;
  document.title = name;
  say(byId("name"), name);
  chart.draw();
}

function away(error) {
  stream?.abort();
  const full = error.message.includes("others look");
  const gone = now?.ended ? `The run has ended (${now.ended}).` : "The device does not answer.";
  notice(full ? error.message.trim() : `${gone} What is shown is from before; trying again.`, full ? "warn" : "bad");
  if (!full) pill(now?.ended ? "ended" : "away", "bad");
  byId("main").classList.add("away");
  timer = setTimeout(listen, full ? 10000 : AGAIN_MS[Math.min(failures, AGAIN_MS.length - 1)]);
  failures += 1;
}

function show() {
  if (!run) return;
  const [word, tone] = STATES[now.state] ?? ["starting", "wait"];
  const ended = Boolean(now.ended);
  pill(ended ? "ended" : word, ended ? "bad" : tone);
  const stuck = now.silent_s > 5 && !ended ? `The loop has said nothing for ${seconds(now.silent_s)}.` : "";
  const said = ended ? `The run has ended (${now.ended}).` : stuck || now.problems?.join("; ") || restarted;
  notice(said, ended || stuck ? "bad" : said === restarted ? "wait" : "warn");
  if (restarted && now.mono_s - run.started_s > 10) restarted = "";
  faces();
  tables();
  speak();
}

function faces() {
  const frame = now.frame;
  const since_s = (performance.now() - toldMs) / 1000;
  if (frame?.faces.length) {
    showFaces(frame.faces, run.labels, frame.age_s === null ? null : frame.age_s + since_s, frame.skipped);
  } else {
    showNobody(frame ? "No face in view." : nobody());
  }
  showWhere(frame, run.labels, now.pixels, run.camera.live);
  byId("before").hidden = !now.episodes.length;
  byId("episodes").replaceChildren(...now.episodes.toReversed().map((one) => {
    const dot = made("i", { class: "dot", "aria-hidden": "true" });
    dot.style.setProperty("--ink-of", colour(one.label, run.labels));
    return made("li", {}, dot, made("b", {}, one.label), ` ${seconds(one.dwell_s)}, ${seconds(Math.max(0, one.ago_s) + since_s)} ago`);
  }));
}

function nobody() {
  const why = now.camera.reason ? ` (${now.camera.reason})` : "";
  return { paused: "The run is paused: the camera is closed.", lost: `The camera was lost${why} and is tried again.`,
    waiting: `The camera is not there yet${why}; it is waited for.` }[now.state] ?? (now.ended ? "Nobody looks any more." : "No frame yet.");
}

function tables() {
  const { frame, frames = {}, drops = {}, health = {}, journal = {} } = now;
  const column = chart.newest();
  const dropped = Object.values(drops).reduce((all, n) => all + n, 0);
  const stages = frame ? Object.entries(frame.stages_ms).map(([name, ms]) => `${STAGES[name] ?? name}\u00a0${ms.toFixed(1)}`).join(", ") : "";
  rows(byId("frames"), [
    ["a second", column ? (column.frames / column.seconds).toFixed(1) : ""],
    ["from camera to reading", frame?.late_ms === null || !frame ? "" : `${Math.round(frame.late_ms)} ms`],
    ["processed", whole(frames.processed ?? 0)],
    ["with a face", whole(frames.with_face ?? 0)],
    ["dropped", dropped ? `${whole(dropped)} (${percent(dropped / Math.max(1, frames.read ?? dropped))})` : "none"],
    ...Object.entries(drops).filter(([, n]) => n).map(([reason, n]) => [DROPS[reason] ?? reason, whole(n), "inner"]),
    ["stages, ms", stages],
  ]);
  rows(byId("device"), [
    ["temperature", health.temperature_c == null ? "" : `${health.temperature_c.toFixed(0)} °C`],
    ["power", health.undervoltage == null ? "unknown" : health.undervoltage ? "too weak" : "good", health.undervoltage ? "bad" : ""],
    ["slowed down", health.throttled_now == null ? "" : health.throttled_now.join(", ").replaceAll("_", " ") || "no"],
    ["since boot", health.throttled_since_boot?.length ? health.throttled_since_boot.join(", ").replaceAll("_", " ") : ""],
    ["free for the journal", health.disk_free_bytes == null ? "" : bytes(health.disk_free_bytes)],
    ["journal", journal.trouble ?? "written", journal.trouble ? "bad" : ""],
    ["lines lost", journal.lines_lost || "", "bad"],
    ["clock", { synced: "set", unsynced: "not set", unknown: "unknown" }[now.clock] ?? now.clock],
  ]);
  rows(byId("run"), [
    ["camera", run.camera.name],
    ["bundle", `${run.bundle.name} ${run.bundle.sha256.slice(0, 8)}${run.proved ? ", proved here" : ""}`],
    ["detector", run.detector],
    ["runtime", run.runtime],
    ["running for", seconds(Math.max(0, now.mono_s - run.started_s))],
    ["viewers", whole(now.viewers)],
  ]);
  say(byId("sub"), `${run.camera.name} · ${run.software}`);
}

// For those who listen: what is in view, when that changed, and not more often than it can be said.
function speak() {
  const faces = now.frame?.faces ?? [];
  if (!now.frame && now.state === "running") return; // the first one will come
  const each = faces.map((face) => (face.label === "unsure" ? "unsure" : `${face.label}, ${percent(face.p[run.labels.indexOf(face.label)] ?? 0)}`));
  const said = faces.length ? `${faces.length} ${faces.length > 1 ? "faces" : "face"}: ${each.join("; ")}` : now.frame ? "No face in view" : nobody();
  const named = said.replace(/, \d+ %/g, "");
  if (named === byId("spoken").dataset.named || performance.now() - spokenMs < SPOKEN_MS) return;
  spokenMs = performance.now();
  byId("spoken").dataset.named = named;
  say(byId("spoken"), said);
}

function pill(text, tone) {
  say(byId("state"), text);
  byId("state").dataset.tone = tone;
}

function notice(text, tone) {
  byId("notice").hidden = !text;
  byId("notice").dataset.tone = tone;
  say(byId("notice"), text);
}

setInterval(() => {
  if (run && byId("main").classList.contains("away")) faces(); // what is shown grows old while nothing comes
  if (stream && !stream.signal.aborted && now && performance.now() - heardMs > SILENT_MS) away(new Error("silence"));
}, 1000);

let rest = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(rest);
  if (document.hidden) rest = setTimeout(() => { clearTimeout(timer); stream?.abort(); }, HIDDEN_MS);
  else if (stream?.signal.aborted && byId("entry").hidden) listen();
});
addEventListener("hashchange", enter);
enter();
