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

figures.forEach((figure, index) => figure.addEventListener("click", () => open(index)));
viewer.addEventListener("mousedown", () => show("input"));
viewer.addEventListener("mouseup", () => show("output"));
document.addEventListener("keydown", (event) => {
  if (!figures.length) return;
  if (event.key === "ArrowRight") open(viewer.hidden ? 0 : current + 1);
  else if (event.key === "ArrowLeft") open(viewer.hidden ? -1 : current - 1);
  else if (viewer.hidden) return;
  else if (event.key === "Escape") viewer.hidden = true;
  else if (event.key === " ") show("input");
  else return;
  event.preventDefault();
});
document.addEventListener("keyup", (event) => {
  if (event.key === " " && !viewer.hidden) show("output");
});
