"""Crops of speakers who are not trained on, to validate a student.

    python recipes/distillation/cut_down/held.py CORPORA STORE SHARDS [--degraded]

The speakers are those that recipes/distillation/prepare_store.py kept out of STORE for a
calibration (STORE.calibration-speakers.txt). Up to six unchanged crops of 3.6 s of each are written
to SHARDS/held-CORPUS.pt, with `speakers`, their numbers. With --degraded there are also
SHARDS/held-CORPUS-degraded.pt, the same crops in rooms, noise and codecs, and held-CORPUS-1s.pt,
their first second, both with the teacher's vectors of the whole clean crops.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from banks import banks_of
from shards import write_shard
from voices import labeled, teacher_network
from wave_conditions import WaveConditions
from waves import SHIFT, samples_of

from timbral.audio.decode import Wave, decode
from timbral.data.corpora.scanning import scan_corpus
from timbral.encoders.frontends import FbankConfig, KaldiFbank

FRAMES = 360
SHORT = 98
"""frames of a second"""
CROPS = 6
CORPORA = {
    "librispeech": ("librispeech", "librispeech-251"),
    "speechocean762": ("kaldi", "speechocean762-train"),
}


def crops_of(waves: list[Wave]) -> list[Wave]:
    """Up to CROPS crops that share no frame."""
    size = samples_of(FRAMES)
    starts = [(wave, range(0, len(wave) - size + 1, FRAMES * SHIFT)) for wave in waves]
    return [wave[start : start + size] for wave, found in starts for start in found][:CROPS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--degraded", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    listed = options.store.with_name(f"{options.store.name}.calibration-speakers.txt")
    names = listed.read_text("utf-8").split()
    fbank, teacher = KaldiFbank(FbankConfig()), teacher_network()
    for corpus, (layout, folder) in CORPORA.items():
        recordings: dict[str, list[Path]] = {}
        for row in scan_corpus(layout, options.corpora / folder):
            name = f"{corpus}-{row.speaker}"
            if name in names:
                recordings.setdefault(name, []).append(Path(row.path))
        crops: list[Wave] = []
        speakers: list[int] = []
        for number, name in enumerate(sorted(recordings)):
            found = crops_of([decode(path)[0] for path in recordings[name]])
            crops += found
            speakers += [number] * len(found)
        shard = labeled(teacher, [banks_of(fbank, crop) for crop in crops])
        shard["speakers"] = torch.tensor(speakers)
        write_shard(options.shards / f"held-{corpus}.pt", shard)
        print(f"{corpus}: {len(crops)} crops of {len(recordings)} speakers")
        if options.degraded:
            rng = np.random.default_rng(1)
            conditions = WaveConditions.read(options.corpora)
            for kind, changed in (
                ("degraded", [conditions.apply(crop, rng) for crop in crops]),
                ("1s", [crop[: samples_of(SHORT)] for crop in crops]),
            ):
                banks = torch.stack([banks_of(fbank, crop) for crop in changed]).half()
                kept = {"banks": banks, "vectors": shard["vectors"], "speakers": shard["speakers"]}
                write_shard(options.shards / f"held-{corpus}-{kind}.pt", kept)


if __name__ == "__main__":
    main()
