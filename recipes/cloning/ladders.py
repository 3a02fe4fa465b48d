r"""Voices that leave their speakers in known steps, to try `timbral similarity` on.

    python recipes/cloning/ladders.py CORPUS OUTPUT [--per-speaker 4] [--attack ge2e-lstm]

CORPUS is any that `timbral` reads. Below OUTPUT comes a folder for each step, in which each
recording has the name that it has in OUTPUT/real; then

    timbral similarity campplus-zh-en ge2e-lstm OUTPUT/steps/* OUTPUT/real --to-speaker \\
        --output report

should fall along each ladder: `formants-1.06` moves the formants and leaves the pitch,
`pitch-1.06` moves the pitch and leaves the formants, `speed-1.06` moves both, `mels-20` is copy
synthesis through so many mel filters and Griffin-Lim, `mixture+00dB` has another speaker
underneath at that level. `attack-ENCODER` is another speaker, changed by gradients until that one
encoder takes it for the speaker. Steps that are there already are kept: a run that was cut off
is resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

import timbral
from timbral.audio.preprocessing import load
from timbral.data.sources import find_utterances
from timbral.encoders.frontends import slaney_mel

RATE = 16_000
N_FFT, HOP = 1024, 256
LIFTER = 30
"""quefrencies that are the envelope: up to 1.9 ms, above all pitches"""
FACTORS = (1.03, 1.06, 1.12, 1.25)
MELS = (80, 40, 20, 10)
LEVELS = (-20, -10, -5, 0, 5)
ITERATIONS = 32
SECONDS = 4.0
ATTACK_STEPS, ATTACK_SIZE = 80, 0.02

Wave = np.ndarray


def stft(wave: Wave) -> torch.Tensor:
    window = torch.hann_window(N_FFT)
    return torch.stft(torch.from_numpy(wave), N_FFT, HOP, window=window, return_complex=True)


def istft(spectrum: torch.Tensor, length: int) -> Wave:
    window = torch.hann_window(N_FFT)
    return torch.istft(spectrum, N_FFT, HOP, window=window, length=length).numpy()


def move_formants(wave: Wave, factor: float) -> Wave:
    """Stretch the spectral envelope over frequency; the harmonics stay where they are."""
    spectrum = stft(wave)
    log = spectrum.abs().clamp_min(1e-5).log()
    cepstrum = torch.fft.irfft(log, dim=0)
    cepstrum[LIFTER:-LIFTER] = 0
    envelope = torch.fft.rfft(cepstrum, dim=0).real
    bins = torch.arange(len(envelope)) / factor
    low = bins.floor().long().clamp_max(len(envelope) - 2)
    moved = torch.lerp(envelope[low], envelope[low + 1], (bins - low).clamp(0, 1)[:, None])
    return istft(spectrum * (moved - envelope).exp(), len(wave))


def change_speed(wave: Wave, factor: float) -> Wave:
    return np.asarray(soxr.resample(wave, RATE * factor, RATE))


def move_pitch(wave: Wave, factor: float) -> Wave:
    """Multiply the pitch by a factor: play the recording faster, and move the formants back."""
    return move_formants(change_speed(wave, factor), 1 / factor)


def copy_through_mels(wave: Wave, n_mels: int) -> Wave:
    """Copy synthesis: mel magnitudes, their least-squares spectrum, and Griffin-Lim's phases."""
    filters = slaney_mel(n_mels, N_FFT, RATE).T
    magnitude = (torch.linalg.pinv(filters) @ (filters @ stft(wave).abs())).clamp_min(0)
    phases = torch.exp(2j * np.pi * torch.rand(magnitude.shape, generator=torch.manual_seed(0)))
    for _ in range(ITERATIONS):
        again = stft(istft(magnitude * phases, len(wave)))
        phases = again / again.abs().clamp_min(1e-8)
    return istft(magnitude * phases, len(wave))


def mix(wave: Wave, other: Wave, level_db: float) -> Wave:
    """Both recordings, with the other one at this level relative to the first."""
    other = np.resize(other, len(wave))
    ratio = np.sqrt(np.mean(wave**2) / max(np.mean(other**2), 1e-12)) * 10 ** (level_db / 20)
    return np.asarray(wave + ratio * other)


def attack(embedder: timbral.Embedder, wave: Wave, target: np.ndarray) -> Wave:
    """Another speaker's recording, changed by at most `ATTACK_SIZE` until the encoder is fooled."""
    network = embedder.network.eval()
    start, goal = torch.from_numpy(wave)[None], torch.from_numpy(target)
    change = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=2e-3)
    for _ in range(ATTACK_STEPS):
        features, lengths = network.features(start + change, torch.tensor([start.shape[1]]))
        vector = torch.nn.functional.normalize(network.embed_features(features, lengths), dim=-1)
        loss = -(vector @ goal).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        with torch.no_grad():
            change.clamp_(-ATTACK_SIZE, ATTACK_SIZE)
    return (start + change.detach())[0].numpy()


def voices_of(corpora: list[str], per_speaker: int) -> dict[tuple[str, str], Wave]:
    """Recordings by speaker and name, each of the same level, and of four seconds at most."""
    rows = [row for corpus in corpora for row in find_utterances(corpus)]
    waves: dict[tuple[str, str], Wave] = {}
    for speaker in sorted({row.speaker for row in rows}):
        own = [row for row in rows if row.speaker == speaker]
        for row in own[:: max(1, len(own) // (2 * per_speaker))]:
            wave = load(row.path)[: round(SECONDS * RATE)]
            waves[speaker, Path(row.utterance).name] = 0.1 * wave / np.sqrt(np.mean(wave**2))
    return waves


def of_one(change: Callable[[Wave], Wave]) -> Callable[[Wave, Wave], Wave]:
    """A step that does not use the other speaker's recording."""
    return lambda wave, other: change(wave)


def ladders() -> dict[str, Callable[[Wave, Wave], Wave]]:
    """Each step: a function of a recording and another speaker's recording."""
    steps: dict[str, Callable[[Wave, Wave], Wave]] = {"as-it-is": lambda wave, other: wave}
    for factor in FACTORS:
        steps[f"formants-{factor}"] = of_one(partial(move_formants, factor=factor))
        steps[f"pitch-{factor}"] = of_one(partial(move_pitch, factor=factor))
        steps[f"speed-{factor}"] = of_one(partial(change_speed, factor=factor))
    for mels in MELS:
        steps[f"mels-{mels}"] = of_one(partial(copy_through_mels, n_mels=mels))
    for level in LEVELS:
        steps[f"mixture{level:+03d}dB"] = partial(mix, level_db=level)
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("output", type=Path)
    parser.add_argument("--per-speaker", type=int, default=4)
    parser.add_argument("--attack", default="")
    given = parser.parse_args()
    waves = voices_of(given.corpora, given.per_speaker)
    names = sorted(waves)
    other = {name: names[(at + len(names) // 3) % len(names)] for at, name in enumerate(names)}
    for name in names:
        write(given.output / "real", name, partial(np.copy, waves[name]))
    for step, change in ladders().items():
        folder = given.output / "steps" / step
        for name in names[::2]:
            write(folder, name, partial(change, waves[name], waves[other[name]]))
    if given.attack:
        embedder = timbral.load_encoder(given.attack)
        folder = given.output / "steps" / f"attack-{given.attack}"
        for speaker in sorted({name[0] for name in names}):
            own = [wave for name, wave in waves.items() if name[0] == speaker]
            voice = embedder.encode_speaker(own)
            for name in [name for name in names[::2] if name[0] == speaker]:
                write(folder, name, partial(attack, embedder, waves[other[name]], voice))


def write(folder: Path, name: tuple[str, str], make: Callable[[], Wave]) -> None:
    path = folder / name[0] / f"{name[1]}.wav"
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".part")
    soundfile.write(begun, make(), RATE, "FLOAT", format="WAV")
    begun.replace(path)


if __name__ == "__main__":
    main()
