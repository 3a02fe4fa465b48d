#!/usr/bin/env bash
# npm: meyda 5.6.3. Needs node.
#
# Guess, written down before: MFCC of a recording at 16 kHz, with Meyda.sampleRate set to 16,000 before, are the same whether
# or not one at 48 kHz was analyzed before it.
# Seen: MFCC's filters are made once, for the rate at the first call, and stay: sampleRate is passed over from then on. After one
# frame at 48 kHz recordings of 16 kHz get filters that are a third as wide and high: 1 of 12 voices is nearest to itself
# as enrolled before, where in a new process all are. Those enrolled and compared in one process agree, so a test
# passes. Chroma's filters stay likewise. With another bufferSize than at first all MFCC are NaN.
# Who is hurt: whoever compares voices by Meyda's MFCC in a page or a server, where microphones have 48 kHz and files have other
# rates: what a voice looks like goes by what was analyzed first after the start.
# What to do: bring all sound to one rate, and set sampleRate and bufferSize before the first call; or a process for each rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts meyda@5.6.3
cat > probe.cjs <<'NODE'
const PEOPLE = 12, VOWELS = 12, FRAME = 512, RATE = 16_000;
const FORMANTS = [[700, 1200, 2500], [300, 2200, 2900], [320, 800, 2300], [500, 1900, 2600], [480, 900, 2400]];
let state = 7;
const random = () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;

/** Meyda as a new process has it. */
function fresh() {
  for (const file of Object.keys(require.cache)) if (file.includes("node_modules")) delete require.cache[file];
  return require("meyda");
}

/** Vowels of a voice with this pitch, its formants so much higher. */
function record(pitch, tract) {
  const samples = [];
  for (let vowel = 0; vowel < VOWELS; vowel++) {
    const formants = FORMANTS[vowel % FORMANTS.length];
    const memory = formants.map(() => [0, 0]);
    let phase = 0;
    for (let number = 0; number < RATE * 0.25; number++) {
      phase += (pitch * (1.05 - 0.1 * random())) / RATE;
      let sound = phase >= 1 ? 1 : 0;
      phase %= 1;
      formants.forEach((formant, place) => {
        const radius = Math.exp((-Math.PI * 90) / RATE);
        const [last, before] = memory[place];
        sound += 2 * radius * Math.cos((2 * Math.PI * formant * tract) / RATE) * last - radius * radius * before;
        memory[place] = [sound, last];
      });
      samples.push(0.01 * sound + 1e-4 * (random() - 0.5));
    }
  }
  return Float32Array.from(samples);
}

/** Mean MFCC without the first, which is the level. */
function voice(meyda, samples, size = FRAME) {
  meyda.sampleRate = RATE;
  meyda.bufferSize = size;
  const sum = new Array(12).fill(0);
  for (let start = 0; start + size <= samples.length; start += size) {
    meyda.extract("mfcc", samples.subarray(start, start + size)).slice(1).forEach((value, place) => (sum[place] += value));
  }
  return sum.map((value) => value / Math.floor(samples.length / size));
}

const distance = (one, other) => Math.hypot(...one.map((value, place) => value - other[place]));
function nearest(tests, gallery) {
  const own = tests.filter((test, person) => {
    const distances = gallery.map((each) => distance(test, each));
    return distances.indexOf(Math.min(...distances)) === person;
  });
  return own.length;
}

const people = Array.from({ length: PEOPLE }, () => [90 + 130 * random(), 0.85 + 0.35 * random()]);
const [enrolled, tests] = [0, 1].map(() => people.map((each) => record(...each)));
const clean = fresh();
const gallery = enrolled.map((samples) => voice(clean, samples));
const right = nearest(tests.map((samples) => voice(clean, samples)), gallery);
console.log(`in a new process ${right} of ${PEOPLE} voices at 16 kHz are nearest to themselves`);

const used = fresh();
used.sampleRate = 48_000;
used.bufferSize = FRAME;
used.extract("mfcc", enrolled[0].subarray(0, FRAME));
const after = tests.map((samples) => voice(used, samples));
const wrong = nearest(after, gallery);
const together = nearest(after, enrolled.map((samples) => voice(used, samples)));
console.log(`after one frame at 48 kHz ${wrong} are nearest to themselves as enrolled before, ${together} as enrolled after it`);
const shift = after.reduce((sum, each, person) => sum + distance(each, voice(clean, tests[person])), 0) / PEOPLE;
const apart = gallery.reduce((sum, each, person) => sum + distance(each, gallery[(person + 1) % PEOPLE]), 0) / PEOPLE;
console.log(`one recording moves by ${shift.toFixed(1)}, two people are ${apart.toFixed(1)} apart`);
const other = voice(used, tests[0], 2 * FRAME);
console.log(`with bufferSize ${2 * FRAME} after ${FRAME}: MFCC ${other.slice(0, 3).join(", ")}`);
if (right < PEOPLE - 2 || wrong > PEOPLE / 3 || together < PEOPLE - 2 || shift < apart || !other.every(Number.isNaN)) {
  console.error("the behavior has changed: what was analyzed before no longer counts");
  process.exit(1);
}
NODE
node probe.cjs
