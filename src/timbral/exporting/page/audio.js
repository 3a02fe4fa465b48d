// A file or a recording of the browser as samples at 16 kHz, as the encoder was trained on them.

import { RATE } from "./spectra.js";

const CANCELLATION = 0.01;
const CHANNEL_FLOOR_DB = 50;

const power = (samples) => samples.reduce((total, value) => total + value * value, 0);

// The channels' mean, or the loudest where that cancels out.
function mix(channels) {
  if (channels.length === 1) return channels[0];
  const middle = channels[0].map((_, index) =>
    channels.reduce((total, channel) => total + channel[index], 0) / channels.length);
  const powers = channels.map(power);
  const loudest = powers.indexOf(Math.max(...powers));
  return power(middle) < CANCELLATION ** 2 * powers[loudest] ? channels[loudest] : middle;
}

// How alike the levels of the first two channels run in frames of 32 ms; null for one channel.
function channelCorrelation(channels) {
  if (channels.length < 2) return null;
  const frame = Math.round(0.032 * RATE);
  const count = Math.max(1, Math.floor(channels[0].length / frame));
  const levels = channels.slice(0, 2).map((channel) => Array.from({ length: count }, (_, row) =>
    10 * Math.log10(power(channel.subarray(row * frame, (row + 1) * frame)) / frame + 1e-12)));
  const floor = Math.max(...levels.flat()) - CHANNEL_FLOOR_DB;
  const centered = levels.map((values) => {
    const raised = values.map((value) => Math.max(value, floor));
    const middle = raised.reduce((total, value) => total + value, 0) / count;
    return raised.map((value) => value - middle);
  });
  const product = (one, other) => one.reduce((total, value, row) => total + value * other[row], 0);
  const spread = Math.sqrt(product(centered[0], centered[0]) * product(centered[1], centered[1]));
  return spread > 1e-6 ? product(...centered) / spread : 0;
}

// Raised to an RMS level in dBFS where it is lower.
function raise(samples, minRms) {
  if (minRms === null || !samples.length) return samples;
  const level = 20 * Math.log10(Math.max(Math.sqrt(power(samples) / samples.length), 1e-10));
  const gain = 10 ** ((minRms - level) / 20);
  return level >= minRms ? samples : samples.map((value) => value * gain);
}

// Of the content of a file, `longest` seconds at most: samples as they were, as the encoder takes
// them, and of each channel, (T,) each. `name` is what errors are told of.
export async function load(blob, { min_rms_dbfs: minRms }, longest, name) {
  const context = new OfflineAudioContext(1, 1, RATE);
  let decoded;
  try {
    decoded = await context.decodeAudioData(await blob.arrayBuffer());
  } catch {
    throw new Error(`This browser cannot decode ${blob.name ?? "the recording"} as audio.`);
  }
  if (decoded.duration > longest) throw new Error(`${name}: longer than ${longest} s; cut it.`);
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, index) => decoded.getChannelData(index));
  const samples = mix(channels);
  return { samples, prepared: raise(samples, minRms), channels, correlation: channelCorrelation(channels) };
}
