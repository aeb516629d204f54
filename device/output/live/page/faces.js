// The faces of now: a card each, and where they are.

import { WHY, byId, colour, countdown, drawn, made, percent, say, seconds } from "./words.js";

/** Draws the cards. `age_s` is how old the frame is by now, null for a recording. */
export function showFaces(faces, labels, age_s, skipped) {
  const list = byId("faces");
  while (list.children.length > faces.length) list.lastChild.remove();
  while (list.children.length < faces.length) list.append(emptyCard());
  faces.forEach((face, i) => fill(list.children[i], face, labels, age_s));
  say(byId("nobody"), skipped ? `${skipped} more ${skipped > 1 ? "faces are" : "face is"} in view and not read (max_faces).` : "");
  byId("nobody").hidden = !skipped;
}

/** Says why there is no face to show. */
export function showNobody(why) {
  byId("faces").replaceChildren();
  say(byId("nobody"), why);
  byId("nobody").hidden = false;
}

function emptyCard() {
  const part = (name, kind) => made(name, { class: kind });
  const top = made("div", { class: "top" }, part("span", "label"), part("span", "sure"), part("span", "track"));
  return made("article", { class: "face" }, top, part("p", "why"), part("dl", "bars"), part("p", "facts"));
}

function fill(card, face, labels, age_s) {
  const unsure = face.label === "unsure";
  const most = face.p.indexOf(Math.max(...face.p));
  const part = (kind) => card.querySelector(`.${kind}`);
  card.className = `face${unsure ? " unsure" : ""}${age_s !== null && age_s > 2 ? " old" : ""}`;
  card.style.setProperty("--ink-of", colour(face.label, labels));
  say(part("label"), face.label);
  say(part("sure"), unsure ? "" : percent(face.p[labels.indexOf(face.label)] ?? 0));
  say(part("track"), face.track === null ? "" : `track ${face.track}`);
  say(part("why"), unsure ? sentence(face, labels[most]) : `steady for ${face.held_s < 1 ? "less than 1 s" : seconds(face.held_s)}${aside(face)}`);
  bars(part("bars"), face, labels, most);
  const facts = [
    age_s === null ? "from a recording" : age_s < 1 ? "read just now" : `read ${seconds(age_s)} ago`,
    `seen for ${seconds(face.seen_s)}`,
    face.quality === null ? "" : `quality ${percent(face.quality)}`,
    `${face.xywh[2]}\u00a0px`,
  ];
  say(part("facts"), facts.filter(Boolean).join(" · "));
}

function sentence(face, likeliest) {
  return `${WHY[face.why] ?? (face.why || "not sure enough")}; likeliest ${likeliest}`;
}

function aside(face) {
  return face.frame_label === face.label ? "" : `; this frame alone: ${face.frame_label}`;
}

function bars(list, face, labels, most) {
  if (list.children.length !== 3 * labels.length) {
    const row = (label) => {
      const bar = made("dd", { class: "bar", "aria-hidden": "true" }, made("i"));
      bar.style.setProperty("--ink-of", colour(label, labels));
      return [made("dt", {}, label), bar, made("dd", { class: "p" })];
    };
    list.replaceChildren(...labels.flatMap(row));
  }
  face.p.forEach((p, i) => {
    const [name, bar, number] = [0, 1, 2].map((j) => list.children[3 * i + j]);
    name.className = i === most ? "most" : "";
    number.className = i === most ? "p most" : "p";
    bar.firstChild.style.setProperty("--p", p.toFixed(3));
    say(number, percent(p));
  });
}

/** Draws where the faces are, in the frame's proportions, over a picture where one is shown. */
export function showWhere(frame, labels, pixels, live) {
  const view = byId("view");
  const [width, height] = frame?.size_px ?? [640, 480];
  const shown = [];
  if (pixels?.seq !== null && pixels?.seq !== undefined && pixels.left_s > 0) {
    shown.push(drawn("image", { href: `picture.jpg?n=${pixels.seq}`, width, height, preserveAspectRatio: "none" }));
  }
  for (const face of frame?.faces ?? []) {
    const [x, y, w, h] = face.xywh;
    const size = Math.max(14, Math.round(width / 26));
    const name = `${face.label}${face.track === null ? "" : ` · ${face.track}`}`;
    const box = drawn("rect", { class: "at", x, y, width: w, height: h, rx: Math.round(width / 90) });
    const text = drawn("text", { x, y: y > size * 1.3 ? y - size * 0.4 : y + h + size, "font-size": size }, name);
    for (const one of [box, text]) one.style.setProperty("--ink-of", colour(face.label, labels));
    shown.push(box, text);
  }
  view.setAttribute("viewBox", `0 0 ${width} ${height}`);
  keepImage(view, shown);
  const n = frame?.faces.length ?? 0;
  const faces = `${n === 0 ? "No face" : n === 1 ? "One face" : `${n} faces`} in ${live ? "view" : "the recording"}, ${width} × ${height} px. `;
  say(byId("view-text"), faces + (
    !pixels ? "No picture is shown: boxes only."
    : pixels.left_s > 0 ? `Small pictures for ${countdown(pixels.left_s)} min more; faces that were found are coarse.`
    : "The time for pictures is over: boxes only."
  ));
}

// An image element that stays does not flicker while its next picture is fetched.
function keepImage(view, shown) {
  const [old, next] = [view.querySelector("image"), shown[0]?.tagName === "image" ? shown.shift() : null];
  for (const child of [...view.children]) if (child !== old) child.remove();
  if (!next) old?.remove();
  else if (!old) view.prepend(next);
  else if (old.getAttribute("href") !== next.getAttribute("href")) old.setAttribute("href", next.getAttribute("href"));
  view.append(...shown);
}
