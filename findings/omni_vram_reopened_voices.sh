#!/usr/bin/env bash
# omni-vram 2.8.0, numpy 2.4.6, scipy 1.17.1
#
# Guess, written down before: a threshold means what it says, and voices that are kept in a file are verified as before once it
# is opened again.
# Seen: the file holds means of MFCCs alone, not the encoder's vectors. Once it is opened again, with the same encoder, verify()
# and verify_any() compare these means, whose cosine is 0.99 or more for anybody, for the first coefficient is the level.
# Where none of a hundred strangers passed at 0.4 all pass now, at 0.95 too; their mean score went from 0.01 to 1.00.
# Nothing is said, and the encoder's name is still shown. Without an encoder, at its threshold of 0.75, everybody passes from
# the start. A sample registered after that brings the encoder back, with this sample alone. (Measured apart: of 25
# LibriSpeech speakers each has MFCC means with a cosine of 0.97 to 1.00 to the enrolled one's.)
# Who is hurt: whoever lets it decide who speaks: until the first restart all is right, then anybody is the enrolled person.
# What to do: keep the recordings, or the vectors, and register all again at each start.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 soundfile==0.14.0 python-dotenv==1.2.4 requests==2.34.2 scipy==1.17.1  # imported, not asked for
"${pip[@]}" --no-deps omni-vram==2.8.0
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys

import numpy as np
from vram_core.speaker_verification import SpeakerVerifier

logging.disable(logging.CRITICAL)
RATE, SECONDS, BANDS, TRIALS, THRESHOLD = 16_000, 2, 160, 100, 0.4
SLOPE = np.linspace(0, 7, BANDS)  # 30 dB from 0 to 8 kHz
generator = np.random.default_rng(0)


class Encoder:
    """In place of an ONNX model: how far each band of the spectrum is above the slope that all have."""

    dim, name = BANDS, "stand-in"

    def embed(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        power = np.abs(np.fft.rfft(samples)) ** 2
        levels = np.log([band.mean() for band in np.array_split(power, BANDS)])
        rest = levels + SLOPE
        return rest - rest.mean()


def voice() -> np.ndarray:
    return generator.standard_normal(BANDS)


def record(voice: np.ndarray) -> np.ndarray:
    """A recording of a voice, levels of bands up to 8 kHz, in a session of its own."""
    count = SECONDS * RATE
    at = np.minimum(np.fft.rfftfreq(count, 1 / RATE) / 8000 * BANDS, BANDS - 1).astype(int)
    session = voice + 0.8 * generator.standard_normal(BANDS) - SLOPE
    spectrum = np.exp(session[at] / 2) * np.exp(2j * np.pi * generator.random(len(at)))
    samples = np.fft.irfft(spectrum, count)
    return (0.3 * samples / abs(samples).max()).astype(np.float32)


def accepted(verifier: SpeakerVerifier, voices: list[np.ndarray]) -> tuple[float, float]:
    """How many percent are accepted as ann, and their mean score."""
    results = [verifier.verify("ann", record(one), RATE) for one in voices]
    return 100 * float(np.mean([one.verified for one in results])), float(np.mean([one.confidence for one in results]))


ann = voice()
own, strangers = [ann] * TRIALS, [voice() for _ in range(TRIALS)]
samples = [record(ann) for _ in range(5)]
verifiers = {
    "as registered": SpeakerVerifier(THRESHOLD, extractor=Encoder(), storage_path="voices.json"),
    "without an encoder, as it is": SpeakerVerifier(),
}
for verifier in verifiers.values():
    verifier.register_from_samples("ann", samples, RATE)
for threshold in (THRESHOLD, 0.95):
    again = SpeakerVerifier(threshold, extractor=Encoder(), storage_path="voices.json")
    verifiers[f"opened again, threshold {threshold}"] = again
ok = True
for name, verifier in verifiers.items():
    (mine, score), (others, other_score) = accepted(verifier, own), accepted(verifier, strangers)
    print(f"{name}: {mine:.0f} % of her recordings are accepted (mean score {score:.2f}), {others:.0f} % of strangers "
          f"({other_score:.2f})")
    ok &= mine > 95 and (others < 2 if name == "as registered" else others > 95)
again.register("ann", samples[0], RATE)
after = accepted(again, own)[1], accepted(again, strangers)[1]
print(f"one sample registered after that: mean scores {after[0]:.2f} and {after[1]:.2f}")
ok &= after[1] < 0.2
sys.exit(0 if ok else "the behavior has changed: voices are kept as the encoder gave them")
PYTHON
