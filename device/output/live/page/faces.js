// The faces of the last frame: a card for each, and a view of their positions.

import {
  UNSURE_REASONS, byId, formatCountdown, formatDuration, formatPercent, htmlElement, labelColour, setText, svgElement,
} from "./words.js";

/** Shows the cards. `age_s` is the present age of the frame, null for a recording. */
export function showFaces(faces, labels, age_s, skipped) {
  const list = byId("faces");
  while (list.children.length > faces.length) list.lastChild.remove();
  while (list.children.length < faces.length) list.append(emptyCard());
  faces.forEach((face, i) => fillCard(list.children[i], face, labels, age_s));
  setText(byId("no-face"), skipped ? `${skipped} more ${skipped > 1 ? "faces are" : "face is"} in view and not read (max_faces).` : "");
  byId("no-face").hidden = !skipped;
}

/** Shows why there is no face. */
export function showNoFace(reason) {
  byId("faces").replaceChildren();
  setText(byId("no-face"), reason);
  byId("no-face").hidden = false;
}

function emptyCard() {
  const part = (name, kind) => htmlElement(name, { class: kind });
  const top = htmlElement("div", { class: "top" }, part("span", "label"), part("span", "probability"), part("span", "track"));
  return htmlElement("article", { class: "face" }, top, part("p", "why"), part("dl", "bars"), moreButton(), part("p", "facts"));
}

// Two bars a face, and all of them when they are asked for.
function moreButton() {
  const button = htmlElement("button", { class: "more", type: "button", "aria-expanded": "false" }, "all labels");
  button.addEventListener("click", () => {
    const all = button.parentElement.querySelector(".bars").classList.toggle("all");
    button.setAttribute("aria-expanded", String(all));
    setText(button, all ? "two labels" : "all labels");
  });
  return button;
}

function fillCard(card, face, labels, age_s) {
  const unsure = face.label === "unsure";
  const best = face.p.indexOf(Math.max(...face.p));
  const part = (kind) => card.querySelector(`.${kind}`);
  card.className = `face${unsure ? " unsure" : ""}${age_s !== null && age_s > 2 ? " old" : ""}`;
  card.style.setProperty("--ink-of", labelColour(face.label, labels));
  setText(part("label"), face.label);
  setText(part("probability"), unsure ? "" : formatPercent(face.p[labels.indexOf(face.label)] ?? 0));
  setText(part("track"), face.track === null ? "" : `track ${face.track}`);
  setText(part("why"), unsure ? unsureText(face, labels[best]) : `steady for ${face.held_s < 1 ? "less than 1 s" : formatDuration(face.held_s)}${frameLabelText(face)}`);
  fillBars(part("bars"), face, labels, best);
  const facts = [
    age_s === null ? "from a recording" : age_s < 1 ? "read just now" : `read ${formatDuration(age_s)} ago`,
    `in view for ${formatDuration(face.seen_s)}`,
    face.quality === null ? "" : `quality ${formatPercent(face.quality)}`,
    `${face.xywh[2]}\u00a0px`,
  ];
  setText(part("facts"), facts.filter(Boolean).join(" · "));
}

function unsureText(face, mostProbable) {
  return `${UNSURE_REASONS[face.why] ?? (face.why || "not certain enough")}; most probable: ${mostProbable}`;
}

function frameLabelText(face) {
  return face.frame_label === face.label ? "" : `; this frame alone: ${face.frame_label}`;
}

function fillBars(list, face, labels, best) {
  if (list.children.length !== 3 * labels.length) {
    const row = (label) => {
      const bar = htmlElement("dd", { class: "bar", "aria-hidden": "true" }, htmlElement("i"));
      bar.style.setProperty("--ink-of", labelColour(label, labels));
      return [htmlElement("dt", {}, label), bar, htmlElement("dd", { class: "p" })];
    };
    list.replaceChildren(...labels.flatMap(row));
  }
  const top = face.p.map((p, i) => [p, i]).sort((a, b) => b[0] - a[0]).slice(0, 2).map(([, i]) => i);
  face.p.forEach((p, i) => {
    const [name, bar, number] = [0, 1, 2].map((j) => list.children[3 * i + j]);
    name.className = i === best ? "most" : "";
    number.className = i === best ? "p most" : "p";
    for (const cell of [name, bar, number]) cell.dataset.rank = top.includes(i) ? "top" : "later";
    bar.firstChild.style.setProperty("--p", p.toFixed(3));
    setText(number, formatPercent(p));
  });
}

const VIEW_HEIGHT_PX = 330;
let size_px = null; // of the last frame: the camera's own size, which stays while there is no frame

/** Draws the positions of the faces, in the frame's proportions, over a picture if there is one. */
export function showView(frame, labels, pixels, camera) {
  const view = byId("view");
  const known = frame?.size_px ?? size_px ?? (camera.width_px && camera.height_px ? [camera.width_px, camera.height_px] : null);
  const [width, height] = size_px = known ?? [640, 480];
  const shapes = [];
  if (pixels?.seq !== null && pixels?.seq !== undefined && pixels.left_s > 0) {
    shapes.push(svgElement("image", { href: `picture.jpg?n=${pixels.seq}`, width, height, preserveAspectRatio: "none" }));
  }
  for (const face of frame?.faces ?? []) {
    const [x, y, w, h] = face.xywh;
    const size = Math.max(14, Math.round(width / 26));
    const name = `${face.label}${face.track === null ? "" : ` · ${face.track}`}`;
    const box = svgElement("rect", { class: face.label === "unsure" ? "at unsure" : "at", x, y, width: w, height: h, rx: Math.round(width / 90) });
    const text = svgElement("text", { x, y: y > size * 1.3 ? y - size * 0.4 : y + h + size, "font-size": size }, name);
    for (const shape of [box, text]) shape.style.setProperty("--ink-of", labelColour(face.label, labels));
    shapes.push(box, text);
  }
  view.setAttribute("viewBox", `0 0 ${width} ${height}`);
  view.style.maxWidth = `${Math.round(VIEW_HEIGHT_PX * width / height)}px`; // the ground is the frame, and nothing beside it
  replaceShapes(view, shapes);
  const n = frame?.faces.length ?? 0;
  const faces = `${n === 0 ? "No face" : n === 1 ? "One face" : `${n} faces`} in ${camera.live ? "view" : "the recording"}${known ? `, ${width} × ${height} px` : ""}. `;
  setText(byId("view-text"), faces + (
    !pixels ? "No picture is shown: boxes only."
    : pixels.left_s > 0 ? `Small pictures for ${formatCountdown(pixels.left_s)} min more; detected faces are pixelated.`
    : "The time for pictures is over: boxes only."
  ));
}

// An image element that stays does not flicker while its next picture is fetched.
function replaceShapes(view, shapes) {
  const [old, next] = [view.querySelector("image"), shapes[0]?.tagName === "image" ? shapes.shift() : null];
  for (const child of [...view.children]) if (child !== old) child.remove();
  if (!next) old?.remove();
  else if (!old) view.prepend(next);
  else if (old.getAttribute("href") !== next.getAttribute("href")) old.setAttribute("href", next.getAttribute("href"));
  view.append(...shapes);
}
