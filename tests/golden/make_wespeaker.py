"""Vectors of shipped utterances by WeSpeaker's own ResNets at random weights; writes wespeaker.npz
beside this.

Run in an environment of its own, from the repository's root, with a checkout of WeSpeaker
(github.com/wenet-e2e/wespeaker, commit dfa741957e5c) on PYTHONPATH. The weights are those of
weights.py, drawn from the names of the tensors.

    pip install torch torchaudio soundfile
    PYTHONPATH=CHECKOUT python tests/golden/make_wespeaker.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.compliance import kaldi
from weights import fill
from wespeaker.models import resnet

VOICES = Path("src/timbral/demo/voices")
CASES = {
    "basic": resnet.ResNet(resnet.BasicBlock, [1, 2, 1, 1], 4, 80, 24),
    "bottleneck": resnet.ResNet(resnet.Bottleneck, [1, 1, 2, 1], 4, 80, 16, two_emb_layer=True),
    "resnet34": resnet.ResNet34(80, 256),
}


def features(path: Path) -> torch.Tensor:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 16_000
    scaled = torch.from_numpy(wave)[None] * (1 << 15)
    banks = kaldi.fbank(scaled, num_mel_bins=80, dither=0.0, window_type="hamming")
    return banks - banks.mean(dim=0)


paths = sorted(VOICES.glob("*/*.ogg"))[::97][:6]
golden = {"names": np.array([path.relative_to(VOICES).as_posix() for path in paths])}
for case, network in CASES.items():
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict(state)
    network.eval()
    with torch.no_grad():
        vectors = [network(features(path)[None])[-1][0].numpy() for path in paths]
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
np.savez_compressed(Path(__file__).with_name("wespeaker.npz"), **golden)
