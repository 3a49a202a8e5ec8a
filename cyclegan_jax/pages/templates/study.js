"use strict";
// Two images for a second, then a question; the page does not know which is real.
const study = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const [pair, go, message] = ["pair", "go", "message"].map(get);
const sides = { left: get("left"), right: get("right") };
const KEYS = { ArrowLeft: "left", ArrowRight: "right" };
const pictures = new Map();

const asked = new URLSearchParams(location.search).get("participant");
const participant = asked === null
  ? crypto.getRandomValues(new Uint32Array(1))[0] % 1e9 : Number(asked);
const session = study.sessions[participant % study.sessions.length];

function hash(text) {  // FNV-1a
  let value = 0x811c9dc5;
  for (const c of text) value = Math.imul(value ^ c.charCodeAt(0), 0x01000193) >>> 0;
  return value;
}

function stop(text) {
  get("problem").textContent = text;
  get("problem").hidden = false;
  go.hidden = true;
}

const nextFrame = () => new Promise(requestAnimationFrame);
const pause = () => new Promise((done) => setTimeout(done, study.pause_ms));

// All images are preloaded, so that loading does not shorten the display time.
async function load() {
  const names = [...session.practice, ...session.scored].flat();
  await Promise.all(names.map(async (name) => {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    image.src = `pictures/${name}.png`;
    await image.decode();
    pictures.set(name, image);
    go.textContent = `loading ${pictures.size} of ${names.length}`;
  }));
  const { naturalWidth, naturalHeight } = pictures.get(names[0]);
  pair.style.setProperty("--side", `${Math.max(naturalWidth, 256)}px`);
  pair.style.setProperty("--ratio", naturalWidth / naturalHeight);
}

// A new frame begins at both ends, so that what is measured is what could be seen.
async function show(left, right) {
  const images = [pictures.get(left), pictures.get(right)];
  sides.left.replaceChildren(images[0]);
  sides.right.replaceChildren(images[1]);
  await Promise.all(images.map((image) => image.decode()));
  const start = await nextFrame();
  pair.classList.add("shown");
  let now = start;
  while (now - start < study.show_ms - 4) now = await nextFrame();  // 4: within a frame.
  pair.classList.remove("shown");
  return now - start;
}

function answer() {
  return new Promise((done) => {
    const finish = (side) => {
      document.removeEventListener("keydown", press);
      for (const button of Object.values(sides)) button.disabled = true;
      done(side);
    };
    const press = (event) => {
      if (!KEYS[event.key] || event.repeat) return;
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      finish(KEYS[event.key]);
    };
    document.addEventListener("keydown", press);
    for (const [side, button] of Object.entries(sides)) {
      button.disabled = false;
      button.onclick = () => finish(side);
    }
  });
}

async function ask([left, right], position) {
  get("position").textContent = position;
  message.textContent = "";
  await pause();
  const shown = await show(left, right);
  message.textContent = "Which one was real?";
  const start = performance.now();
  const chosen = await answer();
  return {
    left, right, chosen,
    shown_ms: Math.round(shown * 10) / 10,
    answer_ms: Math.round(performance.now() - start),
  };
}

function ready(text) {
  go.textContent = text;
  go.hidden = go.disabled = false;
  go.focus();
  return new Promise((done) => {
    go.onclick = () => {
      go.hidden = true;
      done();
    };
  });
}

async function practise() {
  const answers = [], count = session.practice.length;
  for (const trial of session.practice) {
    const result = await ask(trial, `practice ${answers.length + 1} of ${count}`);
    answers.push(result);
    const right = study.checks.includes(hash(result[result.chosen]));
    message.textContent = right ? "Correct." : "No, it was the other one.";
    await ready("Next");
  }
  if (!count) return answers;
  get("position").textContent = "";
  message.textContent = "The practice is over. From here on there are no answers.";
  await ready("Go on");
  return answers;
}

function finish(result) {
  const text = JSON.stringify(result, null, 1);
  const save = get("save");
  save.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  save.download = `study_${study.study}_${participant}.json`;
  get("answers").value = text;
  get("trial").hidden = true;
  get("end").hidden = false;
  save.focus();
}

async function run() {
  if (!Number.isSafeInteger(participant) || participant < 0 || asked === "") {
    return stop("The participant in this page's address must be a whole number.");
  }
  get("participant").textContent = participant;
  try {
    await load();
  } catch {
    return stop("A picture could not be loaded. Is the folder complete?");
  }
  await ready("Start");
  const warn = (event) => event.preventDefault();  // Asks before the page is left.
  addEventListener("beforeunload", warn);
  get("intro").hidden = true;
  get("trial").hidden = false;
  const started = new Date().toISOString();
  const practice = await practise();
  const trials = [], count = session.scored.length;
  for (const trial of session.scored) {
    trials.push(await ask(trial, `pair ${trials.length + 1} of ${count}`));
  }
  const { width } = sides.left.getBoundingClientRect();
  finish({
    study: study.study, participant, started, finished: new Date().toISOString(),
    show_ms: study.show_ms, width_px: Math.round(width), pixel_ratio: devicePixelRatio,
    practice, trials,
  });
  get("save").addEventListener("click", () => removeEventListener("beforeunload", warn));
}

run();
