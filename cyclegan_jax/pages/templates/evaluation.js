"use strict";
// One picture at a time, large; holding a key or the mouse shows what it was made from.
const figures = [...document.querySelectorAll(".triple")];
const viewer = document.getElementById("viewer");
const large = document.getElementById("large");
const caption = document.getElementById("caption");
let current = -1;

function show(kind) {
  const figure = figures[current];
  large.src = figure.dataset[kind];
  caption.textContent = `${figure.querySelector("figcaption").textContent} (${kind})`;
}

function open(index) {
  current = (index + figures.length) % figures.length;
  viewer.hidden = false;
  show("output");
}

function hold(kind) {
  if (!viewer.hidden) show(kind);
}

const close = () => { viewer.hidden = true; };

figures.forEach((figure, index) => figure.addEventListener("click", () => open(index)));
document.getElementById("previous").onclick = () => open(current - 1);
document.getElementById("next").onclick = () => open(current + 1);
document.getElementById("close").onclick = close;
large.addEventListener("pointerdown", () => show("input"));
large.addEventListener("contextmenu", (event) => event.preventDefault());  // Long press.
// Wherever the pointer has gone by then.
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => hold("output"));
addEventListener("blur", () => hold("output"));
document.addEventListener("keydown", (event) => {
  if (!figures.length || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowRight") open(viewer.hidden ? 0 : current + 1);
  else if (event.key === "ArrowLeft") open(viewer.hidden ? -1 : current - 1);
  else if (viewer.hidden) return;
  else if (event.key === "Escape") close();
  else if (event.key === " ") { if (!event.repeat) show("input"); }
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => {
  if (event.key !== " " || viewer.hidden) return;
  event.preventDefault();  // It would press a button that was clicked before.
  show("output");
});
