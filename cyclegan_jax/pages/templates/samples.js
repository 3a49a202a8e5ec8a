"use strict";
// Samples: only the one that is shown is loaded.
const { samples } = JSON.parse(document.getElementById("data").textContent);
if (samples.length) {
  const image = document.getElementById("sample");
  const position = document.getElementById("position");
  let current = samples.length - 1;
  const show = (index) => {
    current = Math.min(Math.max(index, 0), samples.length - 1);
    image.src = samples[current];
    position.textContent = "step " + Number(samples[current].match(/step_(\d+)/)[1]);
  };
  document.getElementById("previous").onclick = () => show(current - 1);
  document.getElementById("next").onclick = () => show(current + 1);
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT") return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") show(current - 1);
    if (event.key === "ArrowRight") show(current + 1);
  });
  show(current);
}
