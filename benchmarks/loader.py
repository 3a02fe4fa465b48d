"""Training crops per second: from the store, and from one file for each utterance.

    python benchmarks/loader.py [--data CORPUS] [--seconds 1.6] [--batches 12] [--rounds 5]

CORPUS is a folder of recordings; the default is the shipped voices. Batches of 64 speakers × 10
utterances, or as many as there are, are cut from the store's memory-mapped PCM. The same number of
crops, at random offsets of random files, is read from 16 kHz wav and FLAC files (open, seek, read)
and from mels: with numpy alone, as PaddleSpeech's loader does, and with timbral. Only timbral's
crops are put together into batches. It uses one thread, and all files are in the page cache. The
last line shows how many crops per second get their mels computed, which crops of mels do not need.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

from timbral.audio.preprocessing import Preprocessing, load
from timbral.data.batches.data_config import DataConfig
from timbral.data.batches.mel_crops import MelCrops
from timbral.data.batches.wave_crops import WaveCrops
from timbral.data.corpora.scanning import scan_corpus
from timbral.data.prepared.mels import PrecomputedMels
from timbral.data.prepared.prepare import prepare
from timbral.data.prepared.store import Store
from timbral.demo.shipped import VOICES
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.io.devices import tune_cpu

Loader = Callable[[int], object]


class FileCrops:
    """Random crops of random utterances, read from a file for each."""

    def __init__(self, paths: list[Path], batch: int, seconds: float) -> None:
        self._paths = paths
        self._batch = batch
        self._seconds = seconds

    def audio(self, step: int) -> list[np.ndarray]:
        samples = int(self._seconds * 16_000)
        crops = []
        for path, offset in self._drawn(step):
            with soundfile.SoundFile(path) as file:
                file.seek(int(offset * max(1, file.frames - samples)))
                crops.append(file.read(samples, dtype="float32"))
        return crops

    def mels(self, step: int) -> list[np.ndarray]:
        frames = int(self._seconds * 100)
        crops = []
        for path, offset in self._drawn(step):
            mel = np.load(path)
            start = int(offset * max(1, len(mel) - frames))
            crops.append(mel[start : start + frames])
        return crops

    def _drawn(self, step: int) -> Iterator[tuple[Path, float]]:
        random = np.random.default_rng(step)
        rows = random.integers(len(self._paths), size=self._batch)
        offsets = random.random(self._batch)
        return ((self._paths[row], offset) for row, offset in zip(rows, offsets, strict=True))


def written_files(store: Store, folder: Path, suffix: str) -> list[Path]:
    """Every row of the store as a file of its own."""
    folder.mkdir()
    paths = [folder / f"{row}.{suffix}" for row in range(len(store))]
    for path, source in zip(paths, store.table["path"].to_pylist(), strict=True):
        soundfile.write(path, load(source), 16_000, subtype="PCM_16")
    return paths


def loaders(corpus: Path, folder: Path, seconds: float) -> dict[str, Loader]:
    prepare(scan_corpus("folder", corpus), folder / "store", Preprocessing())
    prepare(scan_corpus("folder", corpus), folder / "mels", Preprocessing(), format="npy")
    store, mels = Store.open(folder / "store"), PrecomputedMels.open(folder / "mels")
    speakers = min(64, len(store.speaker_names))
    config = DataConfig(speakers, 10, seconds)
    crops = WaveCrops(store, np.arange(len(store)), config, seed=0)
    mel_crops = MelCrops(mels, np.arange(len(mels)), config, seed=0)
    batch = speakers * config.utterances_per_speaker
    wav, flac = (written_files(store, folder / suffix, suffix) for suffix in ("wav", "flac"))
    npy = [mels.folder / name for name in mels.table["file"].to_pylist()]
    return {
        "store, mapped PCM": crops.batch,
        "wav files": FileCrops(wav, batch, seconds).audio,
        "FLAC files": FileCrops(flac, batch, seconds).audio,
        "npy mels, numpy": FileCrops(npy, batch, seconds).mels,
        "npy mels, timbral": mel_crops.batch,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=VOICES)
    parser.add_argument("--seconds", type=float, default=1.6)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tune_cpu()
    with tempfile.TemporaryDirectory() as folder:
        measured = loaders(options.data, Path(folder), options.seconds)
        rates: dict[str, list[float]] = {name: [] for name in measured}
        for number in range(options.rounds + 1):
            for name, loader in measured.items():
                started = time.process_time()
                made = [loader(step) for step in range(options.batches)]
                elapsed = time.process_time() - started
                if number:  # the first repetition fills the caches
                    rates[name].append(options.batches / elapsed)
        batch = measured["store, mapped PCM"](0)
        del made
    size = len(batch.lengths)  # type: ignore[attr-defined]
    middle = {name: statistics.median(values) * size for name, values in rates.items()}
    print(f"{size} crops of {options.seconds} s a batch, one thread, processor time")
    for name, rate in middle.items():
        ratio = rate / middle["npy mels, numpy"]
        print(f"  {name:<20}{rate:9,.0f} crops/s  {ratio:5.1f} × npy files")
    encoder = LstmEncoder(LstmConfig())
    started = time.process_time()
    encoder.features(batch.waves, batch.lengths)  # type: ignore[attr-defined]
    print(f"  mels of such crops  {size / (time.process_time() - started):9,.0f} crops/s")


if __name__ == "__main__":
    main()
