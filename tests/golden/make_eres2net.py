"""Vectors of shipped utterances by 3D-Speaker's own ERes2NetV2 at random weights; writes
eres2net.npz beside this.

Run from the repository's root with a checkout of 3D-Speaker (github.com/modelscope/3D-Speaker,
commit 09e7806729ed) on PYTHONPATH. The weights are those of weights.py, drawn from the names of the
tensors. The features are timbral's, which make_speakerlab.py compares with 3D-Speaker's.

    PYTHONPATH=CHECKOUT python tests/golden/make_eres2net.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from speakerlab.models.eres2net.ERes2NetV2 import ERes2NetV2
from weights import fill

from timbral.encoders.frontends import KALDI_FBANK_80, KaldiFbank

VOICES = Path("src/timbral/demo/voices")
CASES = {
    "small": ERes2NetV2(num_blocks=[1, 2, 1, 2], m_channels=8, embedding_size=24),
    "wide": ERes2NetV2(
        num_blocks=[1, 1, 2, 1],
        m_channels=8,
        embedding_size=16,
        baseWidth=24,
        scale=4,
        expansion=4,
        two_emb_layer=True,
    ),
    "published": ERes2NetV2(),
}


def features(path: Path) -> torch.Tensor:
    wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
    banks, _ = KaldiFbank(KALDI_FBANK_80)(wave, torch.tensor([wave.shape[1]]))
    return banks


paths = sorted(VOICES.glob("*/*.ogg"))[::97][:6]
golden = {"names": np.array([path.relative_to(VOICES).as_posix() for path in paths])}
for case, network in CASES.items():
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict(state)
    network.eval()
    with torch.no_grad():
        vectors = [network(features(path))[0].numpy() for path in paths]
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
np.savez_compressed(Path(__file__).with_name("eres2net.npz"), **golden)
