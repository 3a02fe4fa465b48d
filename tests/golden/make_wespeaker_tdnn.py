"""Vectors of shipped utterances by WeSpeaker's own CAM++ and ECAPA-TDNN at random weights; writes
wespeaker_tdnn.npz beside this.

As make_wespeaker.py, with the same checkout.

    pip install torch torchaudio soundfile
    PYTHONPATH=CHECKOUT python tests/golden/make_wespeaker_tdnn.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.compliance import kaldi
from weights import fill
from wespeaker.models.campplus import CAMPPlus
from wespeaker.models.ecapa_tdnn import ECAPA_TDNN

VOICES = Path("src/timbral/demo/voices")
CASES = {
    "campplus": CAMPPlus(80, 512),
    "ecapa": ECAPA_TDNN(16, 80, 24),
    "ecapa-global": ECAPA_TDNN(16, 80, 24, global_context_att=True),
}


def features(path: Path) -> torch.Tensor:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 16_000
    scaled = torch.from_numpy(wave)[None] * (1 << 15)
    banks = kaldi.fbank(scaled, num_mel_bins=80, dither=0.0, window_type="hamming")
    return banks - banks.mean(dim=0)


paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
golden = {"names": np.array([path.relative_to(VOICES).as_posix() for path in paths])}
for case, network in CASES.items():
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict(state)
    network.eval()
    with torch.no_grad():
        outputs = [network(features(path)[None]) for path in paths]
    vectors = [(each[-1] if isinstance(each, tuple) else each)[0].numpy() for each in outputs]
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
np.savez_compressed(Path(__file__).with_name("wespeaker_tdnn.npz"), **golden)
