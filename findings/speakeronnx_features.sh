#!/usr/bin/env bash
# speakeronnx 0.0.1, kaldi_native_fbank 1.23.0, numpy 2.4.6
#
# Guess, written down before: its features are Kaldi's, which the models of its list were trained on (a cosine of 0.999), and
# recordings of other rates are resampled without folding (below -40 dB).
# Seen: bands begin and end at whole FFT bins, in steps of 31 Hz where the lowest of 80 bands are 30 to 40 Hz wide: two are
# always 0, others hold one bin, and of the first 21 eleven have a cosine below 0.9 to Kaldi's; of all features it is 0.95.
# Without soxr, which is an extra, other rates are read off along straight lines: 9 to 13 kHz of a file at 44.1 or 48 kHz
# come back below 8 kHz only 1 to 2.4 dB weaker. Nothing is said.
# Measured apart with CAM++'s published weights, which its list has too (2 excerpts of 3 s of 30 LibriSpeech speakers at 16
# kHz): vectors have a cosine of 0.79 to those of Kaldi's features, strangers score 0.28 instead of 0.07, and at its threshold
# of 0.45 5.1 % of them pass instead of 0.5 %. The EER hardly changes (0.2 % instead of 0.0 %).
# Who is hurt: whoever takes over a threshold, or vectors, of WeSpeaker or 3D-Speaker: ten times as many strangers pass, and a
# gallery made elsewhere has other vectors; and whoever hands over files of 44.1 or 48 kHz without soxr.
# What to do: hand features of kaldi_native_fbank to the model, or at least choose a threshold anew; install speakeronnx[soxr].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" numpy==2.4.6 kaldi_native_fbank==1.23.0
"${pip[@]}" --no-deps speakeronnx==0.0.1 # no model is opened below, so neither onnxruntime nor a hub is needed
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import types
import wave

import kaldi_native_fbank
import numpy as np

sys.modules["onnxruntime"] = types.ModuleType("onnxruntime")
sys.modules["huggingface_hub"] = types.SimpleNamespace(hf_hub_download=None)
from speakeronnx.embedder import compute_fbank, load_audio  # noqa: E402

RATE, SECONDS, BANDS = 16_000, 4, 80
generator = np.random.default_rng(0)


def kaldi(samples: np.ndarray) -> np.ndarray:
    """Kaldi's features, of which the mean over time is taken off as WeSpeaker does."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.frame_opts.window_type = 0, "hamming"
    options.mel_opts.num_bins, options.energy_floor = BANDS, 0
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(RATE, (samples * 32768).tolist())
    bank.input_finished()
    frames = np.array([bank.get_frame(number).copy() for number in range(bank.num_frames_ready)])
    return frames - frames.mean(axis=0)


def voice() -> np.ndarray:
    """A buzz whose pitch and formants move, soft at 8 kHz as speech is."""
    time = np.arange(SECONDS * RATE) / RATE
    pitch = 120 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0.0) + 0.01 * generator.standard_normal(len(time))
    spectrum, hertz = np.fft.rfft(pulses), np.fft.rfftfreq(len(time), 1 / RATE)
    shaped = np.fft.irfft(spectrum / (1 + (hertz / 500) ** 1.5), len(time))
    syllables = 0.52 + 0.48 * np.sin(2 * np.pi * 4 * time)
    return (0.3 * shaped * syllables / abs(shaped).max()).astype(np.float32)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / norms) if norms else 0.0


def folded(hertz: int, rate: int) -> float:
    """How many dB a tone above 8 kHz is weaker in what is loaded at 16 kHz than in the file."""
    tone = np.sin(2 * np.pi * hertz * np.arange(SECONDS * rate) / rate)
    with wave.open("tone.wav", "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((8000 * tone).astype("<i2").tobytes())
    loaded = load_audio("tone.wav")[1000:-1000]
    return float(20 * np.log10(loaded.std() / (8000 / 32768 / np.sqrt(2))))


samples = voice()
theirs, right = compute_fbank(samples), kaldi(samples)
by_band = [cosine(theirs[:, band], right[:, band]) for band in range(BANDS)]
empty = [band for band in range(BANDS) if abs(theirs[:, band]).max() < 1e-4]
poor = [band for band in range(BANDS) if by_band[band] < 0.9]
print(f"features: cosine to Kaldi's {cosine(theirs, right):.2f}; bands that are always 0: {empty}")
print(f"    bands with a cosine below 0.9: {len(poor)} of {BANDS}, all of them among the first {max(poor) + 1}")
tones = {(rate, hertz): folded(hertz, rate) for rate in (44_100, 48_000) for hertz in (9000, 11_000, 13_000)}
for rate in (44_100, 48_000):
    heard = ", ".join(f"{hertz} Hz at {level:.1f} dB" for (of, hertz), level in tones.items() if of == rate)
    print(f"tones of a file at {rate} Hz that are heard below 8 kHz once it is loaded: {heard}")
ok = empty == [1, 8] and len(poor) >= 5 and cosine(theirs, right) < 0.98 and min(tones.values()) > -8
sys.exit(0 if ok else "the behavior has changed: bands as in Kaldi, or nothing is folded")
PYTHON
