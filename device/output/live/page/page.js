// The page: exchanges the token of its address for a cookie, reads the stream of events, and reports when there is none.

import { Chart } from "./chart.js";
import { DayChart } from "./day.js";
import { showFaces, showNoFace, showView } from "./faces.js";
import { openSession } from "./session.js";
import {
  DROP_REASONS, STATES, byId, fillRows, formatBytes, formatCount, formatDuration, formatPercent, htmlElement, labelColour, setPalette, setText,
} from "./words.js";

const SILENT_MS = 5000; // the device sends something each second
const HIDDEN_MS = 30000; // after which a hidden page disconnects
const RETRY_MS = [500, 1000, 2000, 4000];
const FULL_RETRY_MS = 10000; // when the device has too many viewers
const ANNOUNCE_MS = 10000; // between two announcements to a screen reader

const chart = new Chart();
const dayChart = new DayChart();
let run = null;
let isOpening = false; // the camera of a run, which is described once it is open
let now = null;
let lastMessageMs = 0; // performance.now() of the last message or request
let lastUpdateMs = 0; // of the data that is shown
let stream = null; // the AbortController of the open stream
let failures = 0;
let retryTimer = 0;
let announcedMs = -ANNOUNCE_MS;
let restartText = "";
let askForToken = () => {};

async function connect() {
  clearTimeout(retryTimer);
  stream?.abort();
  const controller = stream = new AbortController();
  lastMessageMs = performance.now();
  try {
    const response = await fetch("events", { cache: "no-store", signal: controller.signal });
    if (response.status === 401) return askForToken();
    if (!response.ok) throw new Error(await response.text());
    await readStream(response.body, controller);
    throw new Error("The device closed the connection.");
  } catch (error) {
    if (controller === stream && !controller.signal.aborted) showDisconnected(error);
  }
}

// Server-sent events (HTML standard), of which the device uses two fields.
async function readStream(body, controller) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done || controller !== stream) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [, kind, data] = part.match(/^event: (\w+)\ndata: (.*)$/) ?? [];
      if (kind) handleMessage(kind, JSON.parse(data));
    }
  }
}

function handleMessage(kind, data) {
  lastMessageMs = performance.now();
  if (kind === "bye") {
    if (now) now.ended = data.ended || "the device closed the page";
    return;
  }
  failures = 0;
  byId("entry").hidden = true;
  byId("main").hidden = false;
  byId("main").classList.remove("away");
  if (kind === "whole") startRun(data);
  now = data.now;
  if (!isOpening) {
    if (run) dayChart.setClock(now, run.camera.live);
    if (data.columns.length) chart.addColumns(data.columns);
    if (data.day.length) dayChart.addColumns(data.day);
  }
  lastUpdateMs = lastMessageMs;
  render();
}

function startRun(data) {
  const isOther = run && (run.boot !== data.run.boot || run.started_s !== data.run.started_s);
  if (isOther) restartText = "The run was restarted: track numbers begin again.";
  byId("storing").hidden = !data.run.storing;
  setText(byId("storing"), data.run.storing);
  isOpening = !data.run.labels;
  if (isOpening) return;
  const sameBoot = run?.boot === data.run.boot;
  chart.startRun(data.run.labels, data.column_s, data.columns_kept, sameBoot);
  dayChart.startRun(data.run.labels, data.bar_s, data.bars_kept, sameBoot);
  run = data.run;
  setPalette(run.colours);
  const name = run.name === "camera" ? "fer-edge" : `fer-edge · ${run.name}`;
  document.title = name;
  setText(byId("name"), name);
  chart.draw();
  dayChart.draw();
}

function showDisconnected(error) {
  stream?.abort();
  const full = error.message.includes("viewers");
  const cause = now?.ended ? `The run has ended (${now.ended}).` : "The device does not answer.";
  showNotice(full ? error.message.trim() : `${cause} The data below is outdated; trying again.`, full ? "warn" : "bad");
  if (!full) showState(now?.ended ? "ended" : "away", "bad");
  byId("main").classList.add("away");
  retryTimer = setTimeout(connect, full ? FULL_RETRY_MS : RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
  failures += 1;
}

function render() {
  if (isOpening) {
    showState("starting", "wait");
    showNotice(restartText, "wait");
    showNoFace("The camera is being opened.");
    return;
  }
  if (!run) return;
  const [word, tone] = STATES[now.state] ?? ["starting", "wait"];
  const ended = Boolean(now.ended);
  showState(ended ? "ended" : word, ended ? "bad" : tone);
  const stuck = now.silent_s > 5 && !ended ? `The loop has not responded for ${formatDuration(now.silent_s)}.` : "";
  const text = ended ? `The run has ended (${now.ended}).` : stuck || now.problems?.join("; ") || restartText;
  showNotice(text, ended || stuck ? "bad" : text === restartText ? "wait" : "warn");
  if (restartText && now.mono_s - run.started_s > 10) restartText = "";
  renderFaces();
  renderTables();
  announce();
}

function renderFaces() {
  const frame = now.frame;
  const since_s = (performance.now() - lastUpdateMs) / 1000;
  if (frame?.faces.length) {
    showFaces(frame.faces, run.labels, frame.age_s === null ? null : frame.age_s + since_s, frame.skipped);
  } else {
    showNoFace(frame ? "No face in view." : noFrameText());
  }
  showView(frame, run.labels, now.pixels, run.camera);
  byId("before").hidden = !now.episodes.length;
  byId("episodes").replaceChildren(...now.episodes.toReversed().map((episode) => {
    const dot = htmlElement("i", { class: `dot ${episode.label === "unsure" ? "unsure" : ""}`, "aria-hidden": "true" });
    dot.style.setProperty("--ink-of", labelColour(episode.label, run.labels));
    const text = ` ${formatDuration(episode.dwell_s)}, ${formatDuration(Math.max(0, episode.ago_s) + since_s)} ago`;
    return htmlElement("li", {}, dot, htmlElement("b", {}, episode.label), text);
  }));
}

function noFrameText() {
  const reason = now.camera.reason ? ` (${now.camera.reason})` : "";
  return { paused: "The run is paused: the camera is closed.", lost: `The camera was lost${reason} and is tried again.`,
    waiting: `The camera is not there yet${reason}; the run waits for it.` }[now.state] ?? (now.ended ? "The run has ended." : "No frame yet.");
}

function renderTables() {
  const { frame, frames = {}, drops = {}, health = {}, journal = {} } = now;
  const column = chart.newestColumn();
  const dropped = Object.values(drops).reduce((total, n) => total + n, 0);
  const stages = frame ? Object.entries(frame.stages_ms).map(([name, ms]) => `${name}\u00a0${ms.toFixed(1)}`).join(", ") : "";
  fillRows(byId("frames"), [
    ["per second", column ? (column.frames / column.seconds).toFixed(1) : ""],
    ["from camera to reading", frame?.late_ms === null || !frame ? "" : `${Math.round(frame.late_ms)} ms`],
    ["processed", formatCount(frames.processed ?? 0)],
    ["with a face", formatCount(frames.with_face ?? 0)],
    ["dropped", dropped ? `${formatCount(dropped)} (${formatPercent(dropped / Math.max(1, frames.read ?? dropped))})` : "none"],
    ...Object.entries(drops).filter(([, n]) => n).map(([reason, n]) => [DROP_REASONS[reason] ?? reason, formatCount(n), "inner"]),
    ["stages, ms", stages],
  ]);
  fillRows(byId("device"), [
    ["temperature", health.temperature_c == null ? "" : `${health.temperature_c.toFixed(0)} °C`],
    ["power", health.undervoltage == null ? "unknown" : health.undervoltage ? "too weak" : "good", health.undervoltage ? "bad" : ""],
    ["slowed down", health.throttled_now == null ? "" : health.throttled_now.join(", ").replaceAll("_", " ") || "no"],
    ["since boot", health.throttled_since_boot?.length ? health.throttled_since_boot.join(", ").replaceAll("_", " ") : ""],
    ["free for the journal", health.disk_free_bytes == null ? "" : formatBytes(health.disk_free_bytes)],
    ["journal", journal.trouble ?? "written", journal.trouble ? "bad" : ""],
    ["lines lost", journal.lines_lost || "", "bad"],
    ["clock", { synced: "set", unsynced: "not set", unknown: "unknown" }[now.clock] ?? now.clock],
  ]);
  fillRows(byId("run"), [
    ["camera", run.camera.name],
    ["bundle", `${run.bundle.name} ${run.bundle.sha256.slice(0, 8)}${run.proved ? ", proved here" : ""}`],
    ["detector", run.detector],
    ["runtime", run.runtime],
    ["running for", formatDuration(Math.max(0, now.mono_s - run.started_s))],
    ["viewers", formatCount(now.viewers)],
  ]);
  setText(byId("sub"), `${run.camera.name} · ${run.software}`);
}

// For screen readers: the faces in view, when they change, and not more often than they can be read out.
function announce() {
  const faces = now.frame?.faces ?? [];
  if (!now.frame && now.state === "running") return; // the first frame will follow
  const texts = faces.map((face) => (face.label === "unsure" ? "unsure" : `${face.label}, ${formatPercent(face.p[run.labels.indexOf(face.label)] ?? 0)}`));
  const text = faces.length ? `${faces.length} ${faces.length > 1 ? "faces" : "face"}: ${texts.join("; ")}` : now.frame ? "No face in view" : noFrameText();
  const labels = text.replace(/, \d+ %/g, "");
  if (labels === byId("spoken").dataset.labels || performance.now() - announcedMs < ANNOUNCE_MS) return;
  announcedMs = performance.now();
  byId("spoken").dataset.labels = labels;
  setText(byId("spoken"), text);
}

function showState(text, tone) {
  setText(byId("state"), text);
  byId("state").dataset.tone = tone;
}

function showNotice(text, tone) {
  byId("notice").hidden = !text;
  byId("notice").dataset.tone = tone;
  setText(byId("notice"), text);
}

setInterval(() => {
  if (run && byId("main").classList.contains("away")) renderFaces(); // the shown ages grow while nothing arrives
  if (stream && !stream.signal.aborted && now && performance.now() - lastMessageMs > SILENT_MS) showDisconnected(new Error("silence"));
}, 1000);

let hiddenTimer = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(() => { clearTimeout(retryTimer); stream?.abort(); }, HIDDEN_MS);
  else if (stream?.signal.aborted && byId("entry").hidden) connect();
});
askForToken = openSession(connect, () => {
  byId("notice").hidden = true;
  showState("locked", "wait");
});
