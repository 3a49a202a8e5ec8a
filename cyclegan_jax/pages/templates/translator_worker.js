// Runs the networks, so that the page stays responsive.
import * as ort from "./ort.wasm.bundle.min.mjs";

// More threads need headers that static hosts seldom send.
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
let loaded = null, session = null;

async function fetchModel(model) {
  const response = await fetch(model.file);
  if (!response.ok) throw new Error(`${model.file} is missing on the server (${response.status}).`);
  const content = new Uint8Array(model.bytes);
  const reader = response.body.getReader();
  let done = 0;
  for (let part; !(part = await reader.read()).done; done += part.value.length) {
    if (done + part.value.length > content.length) break;
    content.set(part.value, done);
    postMessage({ fetched: done / model.bytes });
  }
  if (done !== content.length) throw new Error(`${model.file} on the server is not the one of this page.`);
  return content;
}

onmessage = async ({ data: { model, values, shape } }) => {
  try {
    if (loaded !== model.file) {
      if (session) await session.release();
      loaded = null;
      session = await ort.InferenceSession.create(await fetchModel(model));
      loaded = model.file;
    }
    postMessage({ computing: true });
    const started = performance.now();
    const { translations } = await session.run({ images: new ort.Tensor("float32", values, shape) });
    const result = translations.data.slice();
    translations.dispose();
    postMessage({ result, seconds: (performance.now() - started) / 1000 }, [result.buffer]);
  } catch (error) {
    postMessage({ error: String(error && error.message || error) });
  }
};
