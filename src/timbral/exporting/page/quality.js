// What is measured of a recording: net speech, level, noise, band, clipping, music; and what speaks
// against deciding on it. The same as timbral.audio.quality, whose limits and logistic regressions
// come with the page.

import { analyze, BANDS, FRAME_SECONDS, mean, range, RATE, roundHalfEven, STEP_HZ, sum } from "./spectra.js";

const WINDOW_FRAMES = 48;
const HOP_FRAMES = 24;
const RANGE_DB = 45;
const MODULATION_HZ = [0.5, 2, 3.5, 6, 9, 15.7];
const CEPSTRA = 6;

const square = (value) => value * value;
const deviation = (values) => Math.sqrt(mean(values.map((value) => square(value - mean(values)))));
const differences = (values) => values.slice(1).map((value, index) => value - values[index]);
const magnitude = (values) => values.map(Math.abs);
const columns = (rows) => rows[0].map((_, column) => rows.map((row) => row[column]));
const ordered = (values, fraction) =>
  [...values].sort((a, b) => a - b)[roundHalfEven(fraction * (values.length - 1))];

// As NumPy's quantile: linear between the neighbors.
function quantile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = fraction * (sorted.length - 1);
  const below = Math.floor(at);
  return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

const HANN = range(WINDOW_FRAMES, (index) => 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / (WINDOW_FRAMES - 1)));
const COSINES = range(BANDS, (band) => range(CEPSTRA, (order) =>
  Math.cos((Math.PI * (order + 1) * (band + 0.5)) / BANDS) / BANDS));

function starts(count) {
  const found = range(Math.floor(Math.max(0, count - WINDOW_FRAMES) / HOP_FRAMES) + 1, (row) => row * HOP_FRAMES);
  if (count > WINDOW_FRAMES && found.at(-1) !== count - WINDOW_FRAMES) found.push(count - WINDOW_FRAMES);
  return found;
}

function modulation(bands) {
  const perBand = columns(bands).map((levels) => {
    const middle = mean(levels);
    return levels.map((level, frame) => (level - middle) * HANN[frame]);
  });
  const parts = range(WINDOW_FRAMES / 2, (index) => {
    const turns = range(WINDOW_FRAMES, (frame) => (2 * Math.PI * (index + 1) * frame) / WINDOW_FRAMES);
    return mean(perBand.map((levels) =>
      square(sum(levels.map((level, frame) => level * Math.cos(turns[frame]))))
      + square(sum(levels.map((level, frame) => level * Math.sin(turns[frame]))))));
  });
  const total = sum(parts) + 1;
  const hertz = parts.map((_, index) => (index + 1) / (WINDOW_FRAMES * FRAME_SECONDS));
  const fractions = MODULATION_HZ.slice(1).map((high, index) => {
    const inside = parts.filter((_, part) => hertz[part] >= MODULATION_HZ[index] && hertz[part] < high);
    return Math.log((sum(inside) + 1) / total);
  });
  return [...fractions, Math.log(total)];
}

function dynamics(level, bands) {
  const spread = columns(bands).map(deviation);
  const middle = bands.map(mean);
  const change = differences(bands.map((_, row) => row)).map((_, row) =>
    mean(bands[row].map((value, band) => Math.abs(bands[row + 1][band] - value))));
  const power = level.map((value) => 10 ** (value / 10));
  return [
    mean(spread),
    Math.min(...spread),
    deviation(middle) / (mean(spread) + 1),
    mean(change),
    deviation(change),
    mean(magnitude(differences(middle))),
    mean(power.map((value) => (value < 0.5 * mean(power) ? 1 : 0))),
    ordered(level, 0.1), ordered(level, 0.5), ordered(level, 0.8),
  ];
}

function weighted(values, weight) {
  const middle = sum(values.map((value, index) => value * weight[index]));
  const squares = sum(values.map((value, index) => value * value * weight[index]));
  return [middle, Math.sqrt(Math.max(0, squares - middle * middle))];
}

function harmonic(frames, weight) {
  const harmonicity = frames.map((frame) => frame.harmonicity);
  const pitch = frames.map((frame) => frame.pitch);
  const raw = harmonicity.map((value, index) => weight[index] * value * value);
  const voiced = raw.map((value) => value / (sum(raw) + 1e-9));
  const jump = magnitude(differences(pitch));
  const both = jump.map((_, index) => Math.min(voiced[index + 1], voiced[index]));
  const steps = sum(both) + 1e-9;
  const below = (limit) => sum(both.map((value, index) => (jump[index] < limit ? value : 0))) / steps;
  return [
    ...weighted(harmonicity, weight), ordered(harmonicity, 0.9), ordered(harmonicity, 0.2),
    ...weighted(pitch, voiced), below(0.15), below(0.02),
  ];
}

function shape(bands, weight) {
  const cepstra = bands.map((levels) => range(CEPSTRA, (order) =>
    sum(levels.map((level, band) => level * COSINES[band][order]))));
  const middle = columns(cepstra).map((values) => sum(values.map((value, row) => value * weight[row])));
  const spread = columns(cepstra).map((values, order) =>
    Math.sqrt(sum(values.map((value, row) => square(value - middle[order]) * weight[row]))));
  return [...middle, ...spread];
}

function featuresOf(frames) {
  const loudest = frames.map((frame) => Math.max(...frame.bands));
  const top = Math.max(...loudest);
  const bands = frames.map((frame) => frame.bands.map((value) => Math.max(value, top - RANGE_DB)));
  const level = loudest.map((value) => Math.max(value, top - RANGE_DB) - top);
  const raw = level.map((value) => 10 ** (value / 20));
  const weight = raw.map((value) => value / sum(raw));
  return [
    ...modulation(bands), ...dynamics(level, bands),
    ...weighted(frames.map((frame) => frame.flatness), weight),
    ...harmonic(frames, weight), ...shape(bands, weight),
  ];
}

const logit = (features, model) =>
  sum(features.map((value, index) => value * model.weights[index])) + model.bias;

function classify(frames, { models, limits }) {
  const windows = starts(frames.length).map((start) =>
    range(WINDOW_FRAMES, (index) => frames[(start + index) % frames.length]));
  const levels = windows.map((window) => Math.max(...window.map((frame) => frame.level)));
  const features = windows.map(featuresOf);
  const speech = features.map((each, row) =>
    (levels[row] > limits.silence_dbfs ? logit(each, models.speech) : limits.impossible));
  const music = features.map((each) => logit(each, models.music));
  const best = [...speech].sort((a, b) => a - b)
    .slice(-Math.max(1, roundHalfEven(limits.best_fraction * speech.length)));
  const least = Math.max(Math.max(...levels) - limits.near_loudest_db, limits.silence_dbfs);
  const loud = range(levels.length, (row) => row).filter((row) => levels[row] >= least);
  return {
    speech,
    probability: 1 / (1 + Math.exp(-Math.min(30, Math.max(-30, mean(best))))),
    musicFraction: loud.length ? mean(loud.map((row) => (speech[row] < 0 && music[row] > 0 ? 1 : 0))) : 0,
  };
}

function markSpeech(frames, logits, limits) {
  const level = frames.map((frame) => Math.max(...frame.bands));
  const count = level.length;
  const pieces = Math.max(1, Math.floor(count / limits.stretch_frames));
  const marks = [];
  for (let piece = 0, from = 0; piece < pieces; piece++) {
    const to = from + Math.floor(count / pieces) + (piece < count % pieces ? 1 : 0);
    const stretch = level.slice(from, to);
    const [low, high] = [quantile(stretch, limits.background), quantile(stretch, limits.loud)];
    const [least, most] = limits.above_db;
    const above = low + Math.min(most, Math.max(least, limits.above_fraction * (high - low)));
    marks.push(...stretch.map((value) => value > Math.max(above, high - limits.below_loud_db)));
    from = to;
  }
  const inside = new Array(count).fill(false);
  logits.forEach((value, window) => {
    if (value <= limits.speech_logit) return;
    const start = Math.min(window * HOP_FRAMES, Math.max(0, count - WINDOW_FRAMES));
    inside.fill(true, start, start + WINDOW_FRAMES);
  });
  const side = limits.side_frames;
  return marks.map((_, frame) =>
    inside[frame] && marks.slice(Math.max(0, frame - side), frame + side + 1).some(Boolean));
}

function snrOf(power, marks, limits) {
  const speech = power.filter((_, frame) => marks[frame]);
  const pauses = power.filter((_, frame) => !marks[frame]);
  if (!speech.length || pauses.length * FRAME_SECONDS < limits.least_pause) return null;
  const noise = mean(pauses) + 1e-12;
  return 10 * Math.log10(Math.max(mean(speech) - noise, 1e-3 * noise) / noise);
}

function bandwidthOf(spectrum, limits) {
  const levels = spectrum.map((power) => 10 * Math.log10(power + 1e-20));
  const threshold = Math.max(Math.max(...levels) - limits.below_peak_db, limits.rounding_dbfs);
  const top = levels.findLastIndex((level) => level > threshold);
  return Math.min(Math.max(1, top + 1) * STEP_HZ, RATE / 2);
}

function clippedFraction(samples) {
  const peak = samples.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
  if (samples.length < 3 || peak === 0) return 0;
  let count = 0;
  for (let index = 2, run = 0; index < samples.length; index++) {
    run = [0, 1, 2].every((back) => Math.abs(samples[index - back]) >= 0.99 * peak) ? 1 : 0;
    count += run;
  }
  return count / samples.length;
}

// Of samples (T,) at RATE, mixed of `channels`; `tables` are the limits and regressions that come
// with the page.
export function measure(samples, tables, channels = [samples]) {
  const { frames, spectrum } = analyze(samples);
  const sounds = classify(frames, tables);
  const marks = markSpeech(frames, sounds.speech, tables.limits);
  const power = frames.map((frame) => 10 ** (frame.level / 10));
  const speech = power.filter((_, frame) => marks[frame]);
  const seconds = samples.length / RATE;
  return {
    seconds,
    speech_seconds: Math.min(speech.length * FRAME_SECONDS, seconds),
    speech_dbfs: Math.max(-120, 10 * Math.log10(mean(speech.length ? speech : power) + 1e-12)),
    snr_db: snrOf(power, marks, tables.limits),
    bandwidth_hz: bandwidthOf(spectrum, tables.limits),
    clipped_fraction: Math.max(...channels.map(clippedFraction)),
    speech_probability: sounds.probability,
    music_fraction: sounds.musicFraction,
  };
}

// Whether a recording holds any speech, more likely than not.
export function holdsSpeech(found, { risks }) {
  return found.speech_probability >= risks.speech_probability;
}

// What speaks against deciding on a recording, in words.
export function risksOf(found, { risks }) {
  if (!holdsSpeech(found, { risks })) {
    return ["no speech was found in it: it is noise, music, tones or silence"];
  }
  const said = [];
  if (found.speech_seconds < risks.short_seconds) {
    said.push(`${found.speech_seconds.toFixed(1)} s of net speech is too short for a reliable decision: record ${risks.short_seconds} s or more`);
  }
  if (found.clipped_fraction >= risks.clipped_fraction) said.push("it is clipped: record it with less gain");
  if (found.bandwidth_hz <= risks.narrow_hz) {
    said.push(`there is nothing above ${(found.bandwidth_hz / 1000).toFixed(1)} kHz, as on a telephone: compare it with recordings of the same kind`);
  }
  if (found.speech_dbfs < risks.quiet_dbfs) said.push("it is quiet: record louder or closer to the microphone");
  if (found.snr_db !== null && found.snr_db < risks.noisy_db) {
    said.push(`speech is only ${found.snr_db.toFixed(0)} dB above the pauses: record in a quieter room`);
  }
  if (found.music_fraction >= risks.music_fraction) said.push("part of it is music or tones: cut them out");
  return said;
}
