// Short-time spectra of a recording at 16 kHz, and what is kept of each frame.
// The same measures as timbral.audio.quality.short_time, which says why.

export const RATE = 16000;
export const FRAME = 512;
export const FRAME_SECONDS = FRAME / RATE;
export const BANDS = 20;
export const STEP_HZ = 250;
const BLOCK_FRAMES = 256;
const BIN_HZ = RATE / FRAME;
const BINS = FRAME / 2 + 1;
const BAND_LIMITS_HZ = [100, 3800];
const VOICE_LIMITS_HZ = [70, 400];
const LAG_RATE = 8000;
const RUMBLE_HZ = 60;
const TINY = 1e-12;
const LOUD_DB = 20;

export const decibels = (power) => 10 * Math.log10(power + TINY);
export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const mean = (values) => sum(values) / values.length;
export const range = (count, make) => Array.from({ length: count }, (_, index) => make(index));
// As NumPy and Python round: halves go to the even number.
export const roundHalfEven = (value) => {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
};

const LOW = roundHalfEven(BAND_LIMITS_HZ[0] / BIN_HZ);
const HIGH = roundHalfEven(BAND_LIMITS_HZ[1] / BIN_HZ);
const FIRST_BIN = Math.max(1, roundHalfEven(RUMBLE_HZ / BIN_HZ));
const WINDOW = hannOf(FRAME);
const MEL = melBank(HIGH + 2);
const LAGS = lagsOf();
const TO_LAGS = autocorrelationOf();
const PITCHES = LAGS.map((lag) => Math.log2(1 / lag / VOICE_LIMITS_HZ[0]));
const STEP_BINS = STEP_HZ / BIN_HZ;

// Scaled so that the sum of a frame's power is its mean square.
function hannOf(length) {
  const window = range(length, (index) => 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / length));
  const scale = Math.sqrt(2 / (length * sum(window.map((value) => value * value))));
  return window.map((value) => value * scale);
}

function melBank(bins) {
  const [low, high] = BAND_LIMITS_HZ.map((limit) => 2595 * Math.log10(1 + limit / 700));
  const corners = range(BANDS + 2, (index) => 700 * (10 ** ((low + ((high - low) * index) / (BANDS + 1)) / 2595) - 1));
  return range(bins, (bin) => range(BANDS, (band) => {
    const [left, middle, right] = corners.slice(band, band + 3);
    const hertz = bin * BIN_HZ;
    return Math.max(0, Math.min((hertz - left) / (middle - left), (right - hertz) / (right - middle)));
  }));
}

function lagsOf() {
  const [low, high] = VOICE_LIMITS_HZ;
  const first = Math.trunc(LAG_RATE / high);
  return range(Math.trunc(LAG_RATE / low) - first + 1, (index) => (first + index) / LAG_RATE);
}

// From power below 4 kHz to autocorrelation at no lag and at those of voices; that of the window
// is divided out.
function autocorrelationOf() {
  const bins = Math.min(BINS, roundHalfEven(LAG_RATE / 2 / BIN_HZ) + 1);
  const own = (samples) => {
    const at = (shift) => sum(range(Math.max(0, FRAME - shift), (index) => WINDOW[index] * WINDOW[index + shift]));
    const below = Math.floor(samples);
    return at(below) + (samples - below) * (at(below + 1) - at(below));
  };
  const divisors = [1, ...LAGS.map((lag) => own(lag * RATE) / own(0))];
  const lags = [0, ...LAGS];
  return range(bins, (bin) => lags.map((lag, column) =>
    bin < roundHalfEven(RUMBLE_HZ / BIN_HZ) ? 0 : Math.cos(2 * Math.PI * bin * BIN_HZ * lag) / divisors[column]));
}

const TURNS = range(FRAME / 2, (index) => [
  Math.cos((-2 * Math.PI * index) / FRAME), Math.sin((-2 * Math.PI * index) / FRAME),
]);
const REVERSED = range(FRAME, (index) => parseInt(index.toString(2).padStart(Math.log2(FRAME), "0").split("").reverse().join(""), 2));

// |FFT|² of a windowed frame, (BINS,).
function powerOf(samples, start) {
  const re = new Float64Array(FRAME);
  const im = new Float64Array(FRAME);
  for (let index = 0; index < FRAME; index++) {
    re[REVERSED[index]] = (samples[start + index] ?? 0) * WINDOW[index];
  }
  for (let half = 1; half < FRAME; half *= 2) {
    const stride = FRAME / (2 * half);
    for (let block = 0; block < FRAME; block += 2 * half) {
      for (let index = 0; index < half; index++) {
        const [cos, sin] = TURNS[index * stride];
        const [upper, lower] = [block + index, block + index + half];
        const turnedRe = re[lower] * cos - im[lower] * sin;
        const turnedIm = re[lower] * sin + im[lower] * cos;
        re[lower] = re[upper] - turnedRe;
        im[lower] = im[upper] - turnedIm;
        re[upper] += turnedRe;
        im[upper] += turnedIm;
      }
    }
  }
  return range(BINS, (bin) => re[bin] * re[bin] + im[bin] * im[bin]);
}

function product(power, matrix) {
  const out = new Array(matrix[0].length).fill(0);
  matrix.forEach((row, bin) => row.forEach((weight, column) => { out[column] += power[bin] * weight; }));
  return out;
}

function frameOf(power) {
  const around = product(power, TO_LAGS);
  const inside = around.slice(1).map((value) => value / (around[0] + TINY));
  const best = inside.reduce((top, value, index) => (value > inside[top] ? index : top), 0);
  const inner = power.slice(LOW, HIGH).map((value) => value + TINY);
  const total = sum(power.slice(FIRST_BIN));
  return {
    total,
    level: decibels(total),
    bands: product(power, MEL).map(decibels),
    flatness: (10 / Math.log(10)) * (mean(inner.map(Math.log)) - Math.log(mean(inner))),
    harmonicity: Math.min(1, Math.max(0, inside[best])),
    pitch: PITCHES[best],
  };
}

// Mean power in steps of STEP_HZ of the louder frames of a block.
function blockSpectrum(powers, totals) {
  const least = Math.max(...totals) * 10 ** (-LOUD_DB / 10);
  const loud = powers.filter((_, row) => totals[row] >= least);
  const spectrum = new Array(Math.ceil(BINS / STEP_BINS)).fill(0);
  for (const power of loud) {
    power.forEach((value, bin) => { spectrum[Math.floor(bin / STEP_BINS)] += value / loud.length; });
  }
  return spectrum;
}

// Of samples (T,) at RATE: frames side by side, and the long spectrum.
export function analyze(samples) {
  const count = Math.max(1, Math.floor(samples.length / FRAME));
  const frames = [];
  const spectra = [];
  for (let first = 0; first < count; first += BLOCK_FRAMES) {
    const powers = range(Math.min(BLOCK_FRAMES, count - first), (row) => powerOf(samples, (first + row) * FRAME));
    const made = powers.map(frameOf);
    frames.push(...made);
    spectra.push(blockSpectrum(powers, made.map((frame) => frame.total)));
  }
  const loud = spectra.map(sum);
  const least = Math.max(...loud) * 10 ** (-LOUD_DB / 10);
  const kept = spectra.filter((_, row) => loud[row] >= least);
  return { frames, spectrum: range(kept[0].length, (step) => mean(kept.map((each) => each[step]))) };
}
