"use strict";
// Draws the charts of #data into #charts; a slider #smoothing smooths them.
const COLOURS = ["var(--one)", "var(--two)", "var(--three)", "var(--soft)"];
const W = 360, H = 210, LEFT = 62, RIGHT = 10, TOP = 10, BOTTOM = 38;
const SVG = "http://www.w3.org/2000/svg";

function add(parent, tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

function ticks(low, high, count) {
  const rough = (high - low) / count || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough);
  const result = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) {
    result.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return result;
}

const short = (v) =>
  v !== 0 && Math.abs(v) < 1e-2 ? v.toExponential(1).replace("e-", "e−")
  : Math.abs(v) >= 1000 ? v / 1000 + "k" : String(+v.toPrecision(3));

function smoothed(points, weight) {
  let mean = 0, total = 0;  // Weighted mean of all points so far, free of a start-up bias.
  return points.map(([step, value]) => {
    mean = weight * mean + value;
    total = weight * total + 1;
    return [step, mean / total];
  });
}

function draw(figure, chart, weight) {
  figure.querySelector("svg")?.remove();
  const svg = add(figure, "svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  const curves = Object.entries(chart.curves);
  const all = curves.flatMap(([, points]) => points);
  const steps = all.map((p) => p[0]), values = all.map((p) => p[1]);
  const x1 = Math.max(...steps) || 1, low = Math.min(0, ...values);
  const high = Math.max(0, ...values) || (low ? 0 : 1);
  const x = (s) => LEFT + (s / x1) * (W - LEFT - RIGHT);
  const y = (v) => H - BOTTOM - ((v - low) / (high - low)) * (H - TOP - BOTTOM);
  for (const v of ticks(low, high, 4)) {
    add(svg, "line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v) });
    add(svg, "text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, short(v));
  }
  for (const s of ticks(0, x1, 4)) {
    add(svg, "text", { x: x(s), y: H - BOTTOM + 16, "text-anchor": "middle" }, short(s));
  }
  add(svg, "text", { x: (LEFT + W) / 2, y: H - 4, "text-anchor": "middle" }, "step");
  const middle = (H - BOTTOM) / 2;
  add(svg, "text", { x: 11, y: middle, "text-anchor": "middle",
    transform: `rotate(-90 11 ${middle})` }, chart.unit);
  const path = (points) =>
    "M" + points.map(([s, v]) => x(s).toFixed(1) + " " + y(v).toFixed(1)).join("L");
  const lines = curves.map(([, points], i) => {
    const stroke = `stroke:${COLOURS[i % COLOURS.length]}`;
    const smooth = chart.smooth ? smoothed(points, weight) : points;
    add(svg, "path", { class: "raw", style: stroke, d: path(points) });
    add(svg, "path", { style: stroke, d: path(smooth) });
    return smooth;
  });
  const legend = figure.querySelector("span");
  const label = (index) => {
    legend.replaceChildren(...curves.flatMap(([name], i) => {
      const key = document.createElement("b");
      key.style.color = COLOURS[i % COLOURS.length];
      key.textContent = " " + name + " ";
      const point = lines[i][Math.min(index, lines[i].length - 1)];
      return [key, short(point[1])];
    }));
  };
  svg.onmousemove = (event) => {
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width * W - LEFT) / (W - LEFT - RIGHT);
    const found = lines[0].findIndex(([s]) => s >= at * x1);
    label(found < 0 ? lines[0].length - 1 : found);
  };
  svg.onmouseleave = () => label(Infinity);
  label(Infinity);
}

const container = document.getElementById("charts");
if (container) {
  const { charts } = JSON.parse(document.getElementById("data").textContent);
  const slider = document.getElementById("smoothing");
  const figures = charts.map((chart) => {
    const figure = document.createElement("figure");
    const caption = figure.appendChild(document.createElement("figcaption"));
    caption.textContent = chart.title;
    caption.appendChild(document.createElement("span"));
    return container.appendChild(figure);
  });
  const drawAll = () =>
    charts.forEach((chart, i) => draw(figures[i], chart, Number(slider?.value ?? 0)));
  if (slider) slider.oninput = drawAll;
  drawAll();
}
