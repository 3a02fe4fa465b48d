#!/usr/bin/env bash
# npm: @alexanderolsen/libsamplerate-js 2.1.2. Needs node.
#
# Guess, written down before: one converter's simple(recording) gives every recording whole at the new rate, whatever its length
# and whatever came before, and pieces of 20 ms through full(), joined, give the same.
# Seen: for the first recording. simple() tells the converter that the sound has ended; the next short recording begins anew, but
# one above 1,008,000 samples (21 s of mono at 48 kHz, 10.5 s of stereo) is taken through full(), which does not. After
# any short recording the first longer one comes out as its first 0.1 s, and all that follow are empty: a Float32Array of
# length 0, nothing is raised. Short ones in between are right. full() in pieces after a simple() is over after one piece.
# Who is hurt: whoever brings uploads or microphones to 16 kHz in a browser or in node before enrolling: of a voice's recordings
# only the short ones count, and the vector of a minute is that of its first 0.1 s.
# What to do: a new converter for each recording (await create(...), then destroy()): all but the last 1 to 9 ms comes out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @alexanderolsen/libsamplerate-js@2.1.2
cat > probe.cjs <<'NODE'
const { create, ConverterType } = require("@alexanderolsen/libsamplerate-js");

const FROM = 48_000, TO = 16_000;
const value = (time) => 0.3 * Math.sin(2 * Math.PI * 700 * time);
const sound = (samples) => Float32Array.from({ length: samples }, (_, number) => value(number / FROM));
const right = (samples) => samples.every((sample, number) => number < 300 || Math.abs(sample - value(number / TO)) < 0.01
  || number > samples.length - 300);
let ok = true;

function check(name, samples, seconds, whole) {
  const heard = samples.length / TO;
  console.log(`${name}: ${seconds} s in, ${heard.toFixed(3)} s out${right(samples) ? "" : ", which are others"}`);
  ok = ok && right(samples) && (whole ? Math.abs(heard - seconds) < 0.01 : heard <= 0.11);
}

async function main() {
  for (const quality of ["FASTEST", "BEST_QUALITY"]) {
    const converterType = ConverterType[`SRC_SINC_${quality}`];
    const used = await create(1, FROM, TO, { converterType });
    for (const [seconds, whole] of [[5, true], [21, true], [30, false], [30, false], [5, true], [40, false]]) {
      check(`${quality}, one converter`, used.simple(sound(seconds * FROM)), seconds, whole);
    }
    const fresh = await create(1, FROM, TO, { converterType });
    check(`${quality}, a new converter`, fresh.simple(sound(30 * FROM)), 30, true);
    for (const before of [false, true]) {
      const stream = await create(1, FROM, TO, { converterType });
      if (before) stream.simple(sound(FROM));
      const pieces = [], whole = sound(3 * FROM);
      for (let start = 0; start < whole.length; start += FROM / 50) {
        pieces.push(...stream.full(whole.subarray(start, start + FROM / 50)));
      }
      console.log(`${quality}, pieces of 20 ms ${before ? "after simple()" : "alone"}: 3 s in, ${pieces.length / TO} s out`);
      ok = ok && (before ? pieces.length < 0.05 * TO : Math.abs(pieces.length / TO - 3) < 0.01);
      stream.destroy();
    }
    used.destroy();
    fresh.destroy();
  }
  if (!ok) {
    console.error("the behavior has changed: long recordings come out whole after short ones");
    process.exit(1);
  }
}
main();
NODE
node probe.cjs
