"""Vectors of shipped utterances by WeSpeaker's ReDimNet and ReDimNet2 at random weights; writes
wespeaker_redimnet.npz beside this file.

WESPEAKER is a checkout of wenet-e2e/wespeaker at dfa7419; its features of ReDimNet are torchaudio's
Kaldi filter banks of samples as 16-bit numbers, minus their mean. Run from the repository's root:

    pip install torch torchaudio soundfile scipy
    PYTHONPATH=WESPEAKER python tests/golden/make_wespeaker_redimnet.py
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import torch
import torchaudio.compliance.kaldi
from weights import fill

for name in ("wespeaker", "wespeaker.frontend"):  # without what they would import
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = [str(Path(entry, *name.split("."))) for entry in sys.path if entry]
from wespeaker.frontend.tfmel import TFMelFrontend  # noqa: E402
from wespeaker.models.redimnet import ReDimNet, ReDimNetB1  # noqa: E402
from wespeaker.models.redimnet2 import ReDimNet2B1, ReDimNet2B6, ReDimNet2Custom  # noqa: E402

VOICES = Path("src/timbral/demo/voices")
KERNEL = [[3, 3]]
FIRST = [[1, 1, 2, KERNEL, None], [2, 2, 2, KERNEL, 6], [3, 1, 1, KERNEL, 4]]
SECOND = [
    [[1, 1], 1, 3, KERNEL, 12],
    [[2, 1], 2, 1, KERNEL, None],
    [[1, 2], 1, 0.75, KERNEL, 6],
    [[2, 2], 1, 0.5, KERNEL, 4],
]
NARROW = {"feat_dim": 24, "C": 4, "embed_dim": 24}
TFMEL = {"n_mels": 24, "hop_length": 160, "norm_signal": True, "do_preemph": True, "f_min": 20}
CASES = {
    "first": (
        ReDimNet,
        {**NARROW, "block_2d_type": "basic_resnet_fwse", "stages_setup": FIRST, "group_divisor": 2},
        None,
    ),
    "first-convnext": (
        ReDimNet,
        {
            **NARROW,
            "block_1d_type": "att",
            "block_2d_type": "convnext_like",
            "stages_setup": FIRST,
            "group_divisor": 4,
            "global_context_att": False,
        },
        None,
    ),
    "first-b1": (ReDimNetB1, {}, None),
    "second": (ReDimNet2B6, {**NARROW, "out_channels": 10, "stages_setup": SECOND}, TFMEL),
    "second-custom": (
        ReDimNet2Custom,
        {**NARROW, "stages_setup": SECOND, "agg_gnorm": True},
        {**TFMEL, "norm_signal": False},
    ),
    "second-b1": (ReDimNet2B1, {}, {**TFMEL, "n_mels": 72}),
}


def banks(wave: torch.Tensor, mels: int) -> torch.Tensor:
    features = torchaudio.compliance.kaldi.fbank(
        wave * (1 << 15),
        num_mel_bins=mels,
        frame_length=25,
        frame_shift=10,
        sample_frequency=16_000,
        window_type="hamming",
    )
    return (features - features.mean(0))[None]


golden = {}
paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
golden["names"] = np.array([path.relative_to(VOICES).as_posix() for path in paths])
for case, (network_class, config, tfmel) in CASES.items():
    network = network_class(**config)
    if tfmel is not None:
        network.add_module("frontend", TFMelFrontend(**tfmel))
    network.eval()
    state = network.state_dict()
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in state.items()
        if not name.startswith("frontend.")
    }
    drawn = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict({**state, **drawn})
    vectors = []
    for path in paths:
        wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        with torch.no_grad():
            if tfmel is None:
                vectors.append(network(banks(wave, config.get("feat_dim", 72)))[-1][0].numpy())
            else:
                vectors.append(network(network.frontend(wave)[0])[0].numpy())
    recipe = {
        "model": network_class.__name__,
        "model_args": config,
        "dataset_args": {"frontend": "tfmel", "tfmel_args": tfmel},
    }
    golden[f"{case}.recipe"] = np.array(json.dumps(recipe if tfmel else None))
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
np.savez_compressed(Path(__file__).with_name("wespeaker_redimnet.npz"), **golden)
