// From a cosine and the conditions of two recordings to a likelihood ratio, a probability and a
// threshold. The same as timbral.calibration, whose file comes with the page.

const MAX_SNR_DB = 60;

export const dot = (one, other) => one.reduce((total, value, index) => total + value * other[index], 0);
const unit = (vector) => {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
};

function conditionsOf(measured, ranges) {
  const clipped = (name, value) => Math.min(ranges[name][1], Math.max(ranges[name][0], value));
  return {
    speech_seconds: clipped("speech_seconds", Math.max(measured.speech_seconds, 0.01)),
    bandwidth_hz: clipped("bandwidth_hz", Math.max(measured.bandwidth_hz, 1)),
    snr_db: clipped("snr_db", Math.min(measured.snr_db ?? MAX_SNR_DB, MAX_SNR_DB)),
  };
}

function features(first, second) {
  const lengths = [first, second].map((each) => Math.log2(each.speech_seconds));
  const bands = [first, second].map((each) => Math.log2(each.bandwidth_hz / 8000));
  return [
    1, Math.min(...lengths), Math.max(...lengths),
    Math.min(...bands), Math.max(...bands) - Math.min(...bands),
    Math.min(first.snr_db, second.snr_db) / 10,
  ];
}

// The vector without the directions in which lines and rooms move it, of unit length.
function compensate(vector, directions) {
  const left = Array.from(vector);
  for (const direction of directions) {
    const along = dot(vector, direction);
    direction.forEach((value, index) => { left[index] -= along * value; });
  }
  return unit(left);
}

function warningsOf(measured, calibration) {
  if (!calibration.measured) {
    return ["the recordings that the calibration was fitted on were not measured, so it cannot be said whether length, channel and noise of these are like theirs"];
  }
  const ranges = calibration.ranges;
  const said = [];
  for (const [name, what, digits, unitName] of [
    ["speech_seconds", "net speech", 1, "s"], ["bandwidth_hz", "bandwidth", 0, "Hz"],
    ["snr_db", "speech over noise", 0, "dB"],
  ]) {
    const value = Math.min(...measured.map((each) => each[name] ?? MAX_SNR_DB));
    if (value < ranges[name][0]) {
      said.push(`${what} of ${value.toFixed(digits)} ${unitName} is below what the calibration was fitted on`);
    }
  }
  return said;
}

// Of two vectors and measures: what the page shows. `prior` is the probability of the same speaker
// before anything was compared, `falseAccept` a rate that the calibration promises, or null. `bound`
// is null where no rate of false accepts is promised of such recordings.
export function decide(vectors, measured, calibration, { prior = 0.5, falseAccept = null } = {}) {
  const cosine = dot(...vectors);
  if (!calibration) return { same: null, score: cosine, threshold: null, probability: null, warnings: [] };
  const score = dot(...vectors.map((vector) => compensate(vector, calibration.nuisance)));
  const known = features(...measured.map((each) => conditionsOf(each, calibration.ranges)))
    .slice(0, calibration.offset.length);
  const [offset, scale] = [dot(calibration.offset, known), dot(calibration.scale, known)];
  const raw = offset + scale * score;
  const llr = Math.min(calibration.limits[1], Math.max(calibration.limits[0], raw));
  const odds = Math.log(prior / (1 - prior));
  const isShort = Math.min(...measured.map((each) => each.speech_seconds)) < (calibration.short_seconds ?? 0);
  const points = isShort ? calibration.short_points : calibration.points;
  const keeps = (point) => point.false_accept_bound <= falseAccept;
  const ofSuch = falseAccept === null ? null : points.find(keeps);
  const promised = ofSuch ?? (falseAccept === null ? null : calibration.points.find(keeps));
  if (promised === undefined) throw new Error(`The calibration cannot promise a rate of ${falseAccept}.`);
  const least = promised ? promised.llr : -odds;
  const warnings = warningsOf(measured, calibration);
  if (ofSuch === undefined && !warnings.length) {
    warnings.push(`${falseAccept} cannot be promised for recordings with less than ${calibration.short_seconds} s of net speech`);
  }
  return {
    same: raw >= least,
    score,
    cosine,
    threshold: (least - offset) / scale,
    llr,
    probability: 0.5 * (1 + Math.tanh((llr + odds) / 2)),
    bound: warnings.length ? null
      : points.findLast((point) => point.llr <= least)?.false_accept_bound ?? 1,
    warnings,
  };
}
