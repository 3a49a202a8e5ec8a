"use strict";
(() => {
  const { models, side } = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const LARGEST = 2 ** 25; // Pixels that are decoded.
  const SENTENCES = {
    wasm: "This browser has no WebAssembly, which translating needs; use a current Firefox, Chrome, Edge or Safari.",
    picture: (name) => `${name} is no picture that this browser can read; choose a JPEG, PNG or WebP file.`,
    large: (image) => `${image.width} × ${image.height} pixels are too many for a browser's memory; choose a smaller size.`,
    worker: "The files beside this page cannot be read; put the whole folder on the server, with its .mjs and .wasm files.",
  };
  let picture = null, worker = null, asked = false, chosen = 0, timer = 0;

  function show(error) {
    $("error").textContent = error;
    $("error").hidden = !error;
  }

  function setBusy(busy, status = "") {
    clearInterval(timer);
    $("status").textContent = status;
    $("stop").hidden = !busy;
    $("tool").setAttribute("aria-busy", busy);
  }

  function stop() { // A worker that was asked for nothing keeps its network.
    if (asked) endWorker();
    setBusy(false);
  }

  function endWorker() {
    worker?.terminate();
    worker = null;
    asked = false;
  }

  function fail(error) { // Memory is freed only with the worker.
    endWorker();
    setBusy(false);
    show(error);
  }

  // The pixels of a file, upright and in sRGB, without transparency.
  async function read(file) {
    const bitmap = await createImageBitmap(file);
    if (bitmap.width * bitmap.height > LARGEST) throw new RangeError(SENTENCES.large(bitmap));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  async function choose(file) {
    if (!file) return;
    const number = ++chosen;
    stop();
    show("");
    setBusy(true, "Reading …");
    picture = null;
    try {
      const image = await read(file);
      if (number !== chosen) return; // Another one was chosen meanwhile.
      picture = { name: file.name, image };
    } catch (error) {
      if (number !== chosen) return;
      $("outcome").hidden = true;
      return fail(error instanceof RangeError ? error.message : SENTENCES.picture(file.name));
    }
    translate();
  }

  function resized(image) {
    const size = $("size").value;
    if (size === "square") return Pixels.resize(image, side, side);
    const scale = size === "own" ? 1 : Math.min(1, Number(size) / Math.max(image.width, image.height));
    const [width, height] = [image.width, image.height].map((s) => Math.max(1, Math.round(s * scale)));
    return Pixels.resize(image, width, height);
  }

  function translate() {
    if (!picture) return;
    stop();
    show("");
    const model = models[$("direction").selectedIndex];
    const before = resized(picture.image);
    if (before.width * before.height > model.most) return fail(SENTENCES.large(before));
    const { values, shape } = Pixels.toValues(before, model);
    worker ??= new Worker("worker.js", { type: "module" });
    worker.onerror = () => fail(SENTENCES.worker);
    worker.onmessage = ({ data }) => {
      if ("fetched" in data) {
        $("status").textContent = `Loading the network: ${Math.round(100 * data.fetched)}%`;
      } else if (data.computing) {
        count(Date.now());
      } else if (data.error) {
        const memory = /alloc|memory|range/i.test(data.error);
        fail(memory ? SENTENCES.large(before) : `The translation failed: ${data.error.split("\n")[0]}`);
      } else {
        asked = false;
        try {
          present(before, Pixels.toImage(data.result, model, shape[2], before.width, before.height), model);
          setBusy(false, `${before.width} × ${before.height} pixels in ${data.seconds.toFixed(1)} s.`);
        } catch (error) {
          fail(error.message);
        }
      }
    };
    setBusy(true, "Loading the network …");
    asked = true;
    worker.postMessage({ model, values, shape }, [values.buffer]);
  }

  function count(started) {
    const tick = () => { $("status").textContent = `Translating … ${Math.round((Date.now() - started) / 1000)} s`; };
    tick();
    timer = setInterval(tick, 1000);
  }

  function present(before, after, model) {
    for (const [id, image] of [["before", before], ["after", after]]) {
      [$(id).width, $(id).height] = [image.width, image.height];
      $(id).getContext("2d").putImageData(image, 0, 0);
    }
    $("outcome").hidden = false;
    const name = `${picture.name.replace(/\.[^.]*$/, "")}_${model.direction}.png`;
    $("after").toBlob((blob) => {
      URL.revokeObjectURL($("download").href);
      $("download").href = URL.createObjectURL(blob);
      $("download").download = name;
    });
  }

  function cut(percent) {
    $("cut").value = percent;
    $("compare").style.setProperty("--cut", `${percent}%`);
  }

  if (location.protocol === "file:") return; // The page says what to do.
  $("served").hidden = true;
  if (typeof WebAssembly === "undefined" || typeof Worker === "undefined") {
    $("served").hidden = false;
    $("served").textContent = SENTENCES.wasm;
    return;
  }
  $("tool").hidden = false;
  for (const { direction } of models) $("direction").add(new Option(direction.replace("to", " to "), direction));
  const sizes = [
    [side, `longest side ${side} pixels`], [2 * side, `longest side ${2 * side} pixels`],
    ["own", "its own size (slow, needs memory)"], ["square", `${side} × ${side}, as in training`],
  ];
  for (const [value, text] of sizes) $("size").add(new Option(text, value));
  $("direction").onchange = $("size").onchange = translate;
  $("stop").onclick = () => {
    ++chosen; // A picture that is still being read is not translated.
    stop();
  };
  $("file").onchange = () => {
    choose($("file").files[0]);
    $("file").value = ""; // The same file may be chosen again.
  };
  $("cut").oninput = () => cut($("cut").value);
  cut(50);
  const drag = (event) => {
    if (event.buttons !== 1) return;
    const { left, width } = $("compare").getBoundingClientRect();
    cut(Math.min(Math.max((100 * (event.clientX - left)) / width, 0), 100));
  };
  $("compare").onpointerdown = $("compare").onpointermove = drag;
  document.onpaste = (event) => choose(event.clipboardData.files[0]);
  document.ondragover = (event) => { event.preventDefault(); $("drop").classList.add("over"); };
  document.ondragleave = () => $("drop").classList.remove("over");
  document.ondrop = (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    choose(event.dataTransfer.files[0]);
  };
})();
