// The exported encoder in the browser: waves in, unit vectors out.

import * as ort from "./onnxruntime/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("onnxruntime/", import.meta.url).href;
ort.env.wasm.numThreads = 1;
let session = null;

async function open() {
  session ??= ort.InferenceSession.create(new URL("encoder.onnx", import.meta.url).href);
  try {
    return await session;
  } catch (error) {
    session = null;
    throw new Error(`The encoder could not be loaded: reload this page. (${error.message})`);
  }
}

// Samples (T,) as the encoder takes them to a vector (E,) of unit length.
export async function encode(samples) {
  const opened = await open();
  const found = await opened.run({
    waves: new ort.Tensor("float32", Float32Array.from(samples), [1, samples.length]),
    lengths: new ort.Tensor("int64", BigInt64Array.of(BigInt(samples.length)), [1]),
  });
  const [output] = Object.values(found);
  return Float32Array.from(output.data);
}
