"""Crops of speakers who are not trained on, to validate a student.

    python recipes/distillation/cut_down/held.py CORPORA STORE SHARDS

The speakers are those that recipes/distillation/prepare_store.py kept out of STORE for a
calibration (STORE.calibration-speakers.txt). Up to six unchanged crops of 3.6 s of each are written
to SHARDS/held-CORPUS.pt, with `speakers`, their numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from banks import banks_of
from voices import labeled, teacher_network

from timbral.audio.decode import decode
from timbral.data.corpora.scanning import scan_corpus
from timbral.encoders.frontends import FbankConfig, KaldiFbank

FRAMES = 360
CROPS = 6
CORPORA = {
    "librispeech": ("librispeech", "librispeech-251"),
    "speechocean762": ("kaldi", "speechocean762-train"),
}


def crops_of(waves: list[np.ndarray], fbank: KaldiFbank) -> list[torch.Tensor]:
    """Up to CROPS crops that share no frame."""
    crops = []
    for wave in waves:
        banks = banks_of(fbank, wave)
        crops += [crop for crop in torch.split(banks, FRAMES) if len(crop) == FRAMES]
    return crops[:CROPS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("shards", type=Path)
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
        crops, speakers = [], []
        for number, name in enumerate(sorted(recordings)):
            found = crops_of([decode(path)[0] for path in recordings[name]], fbank)
            crops += found
            speakers += [number] * len(found)
        shard = labeled(teacher, crops) | {"speakers": torch.tensor(speakers)}
        torch.save(shard, options.shards / f"held-{corpus}.pt")
        print(f"{corpus}: {len(crops)} crops of {len(recordings)} speakers")


if __name__ == "__main__":
    main()
