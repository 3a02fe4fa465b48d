"""Corpora made from the shared speech, in which some recordings have a second speaker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sounds import RATE, crop, mixed, read

from timbral.audio.decode import Wave, resample
from timbral.inference.speech_windows import speech_extent

__all__ = ["CORPORA", "Corpus", "Planted", "plant"]

PIECE_SECONDS, SHORT_SECONDS = (2.0, 5.0), (1.5, 3.2)
"""shortest and longest of the short recordings that others are cut into"""
FAST, FASTER = 1.1, 1.3
"""how much faster, and so higher, voices are played; the second stands for children's"""
SIGNAL_TO_NOISE = (10.0, 25.0)
"""least and most, in dB"""
FRACTIONS = (0.3, 0.5)
"""least and largest fraction of the time from the first to the last speech that a second speaker
takes"""

Corpus = dict[str, list[Wave]]
"""the recordings of each speaker, at 16 kHz"""


@dataclass(frozen=True)
class Planted:
    """A recording with a second speaker."""

    wave: Wave
    moment: float
    """time of the change of the voice, in seconds from the start"""
    seconds: float
    """how long the second speaker talks"""
    is_after: bool


def plant(wave: Wave, other: Wave, fraction: float, random: np.random.Generator) -> Planted | None:
    """Put a second speaker into a recording; None if one of the two recordings has no speech.

    The second speaker takes `fraction` of the time from the first to the last speech, at its start
    or end; less if `other` has less speech.
    """
    (begin, end), (first, last) = speech_extent(wave, RATE), speech_extent(other, RATE)
    size = min(round(fraction * (end - begin)), last - first)
    if size < RATE // 4:
        return None
    piece = crop(other[first:last], size / RATE, random)[:size]
    is_after = bool(random.random() < 0.5)
    start = end - size if is_after else begin
    rest = np.delete(wave, np.s_[start : start + size])
    level = np.sqrt(np.mean(np.square(rest)) / (np.mean(np.square(piece)) + 1e-12))
    changed = wave.copy()
    changed[start : start + len(piece)] = np.clip(level * piece, -1, 1)
    moment = start if is_after else start + size
    return Planted(changed, moment / RATE, size / RATE, is_after)


def _of_paths(paths: list[Path], speaker: Callable[[Path], str]) -> Corpus:
    corpus: Corpus = {}
    for path in sorted(paths):
        corpus.setdefault(speaker(path), []).append(read(path))
    return corpus


def _in_pieces(corpus: Corpus, seconds: tuple[float, float] = PIECE_SECONDS) -> Corpus:
    """Cut every recording into successive short ones."""
    random = np.random.default_rng(0)
    cut: Corpus = {}
    for speaker, waves in corpus.items():
        for wave in waves:
            start = 0
            while True:
                size = int(random.uniform(*seconds) * RATE)
                if start + size > len(wave):
                    break
                cut.setdefault(speaker, []).append(wave[start : start + size])
                start += size
    return cut


def _few_speakers(data: Path) -> Corpus:
    return _of_paths(
        list((data / "VCTK").rglob("*.wav")), lambda path: path.parent.name
    ) | _of_paths(list((data / "LibriTTS").rglob("*.wav")), lambda path: path.parts[-3])


def _demo(data: Path) -> Corpus:
    voices = (data.parent / "demo-voices").rglob("*_0?.ogg")
    return _of_paths(list(voices), lambda path: path.parent.name)


def _excerpts(data: Path, half: int) -> Corpus:
    """One excerpt of every second LibriSpeech speaker; `half`, 0 or 1, says of which ones."""
    in_corpus = {path.name for path in (data / "LibriSpeech" / "train-other-500").iterdir()}
    folders = sorted((data / "librispeech-251").iterdir(), key=lambda path: int(path.name))
    chosen = [path for path in folders if path.name not in in_corpus][half::2]
    paths = [path for folder in chosen for path in folder.rglob("*.flac")]
    return _of_paths(paths, lambda path: path.parts[-3])


def _fast(corpus: Corpus, data: Path, speed: float) -> Corpus:
    """Play recordings faster and add recorded noise, for higher voices and worse microphones."""
    random = np.random.default_rng(0)
    noises = [read(path) for path in sorted((data / "noise" / "mycroft").iterdir())[:20]]

    def changed(wave: Wave) -> Wave:
        noise = noises[random.integers(len(noises))]
        return mixed(
            resample(wave, round(RATE * speed), RATE), noise, random.uniform(*SIGNAL_TO_NOISE)
        )

    return {speaker: [changed(wave) for wave in waves] for speaker, waves in corpus.items()}


def _librispeech(data: Path) -> Corpus:
    paths = list((data / "LibriSpeech").rglob("*.flac"))
    return _of_paths(paths, lambda path: path.parts[-3]) | _excerpts(data, 1)


def _speechocean(data: Path) -> Corpus:
    ocean = data / "speechocean762-train"
    speaker = dict(line.split() for line in (ocean / "utt2spk").read_text().splitlines())
    rows = [line.split() for line in (ocean / "wav.scp").read_text().splitlines()]
    return _of_paths([ocean / path for _, path in rows], lambda path: speaker[path.stem])


CORPORA: dict[str, Callable[[Path], Corpus]] = {
    "few-speakers": _few_speakers,
    "few-speakers-pieces": lambda data: _in_pieces(_few_speakers(data)),
    "demo": _demo,
    "excerpts": lambda data: _excerpts(data, 0),
    "excerpts-pieces": lambda data: _in_pieces(_excerpts(data, 0)),
    "excerpts-fast": lambda data: _in_pieces(_fast(_excerpts(data, 0), data, FASTER)),
    "excerpts-short": lambda data: _in_pieces(_fast(_excerpts(data, 0), data, FAST), SHORT_SECONDS),
    "excerpts-short-fast": lambda data: _in_pieces(
        _fast(_excerpts(data, 0), data, FASTER), SHORT_SECONDS
    ),
    "LibriSpeech": _librispeech,
    "speechocean762": _speechocean,
}
"""nothing is chosen on the last two"""
