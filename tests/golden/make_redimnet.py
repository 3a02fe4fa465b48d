"""Vectors of shipped utterances by ReDimNet's and ReDimNet2's own classes at random weights; writes
redimnet.npz beside this.

Run from the repository's root with checkouts of both (github.com/IDRnD/redimnet at dd9f519,
github.com/PalabraAI/redimnet2 at ffe8f27) on PYTHONPATH, and torchaudio 2.11. The weights are those
of weights.py, drawn from the names of the tensors; front-ends are the originals'.

    PYTHONPATH=REDIMNET:REDIMNET2 python tests/golden/make_redimnet.py
"""

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from redimnet.model import ReDimNetWrap
from redimnet2.redimnet2 import ReDimNet2Wrap
from weights import fill

VOICES = Path("src/timbral/demo/voices")
NARROW = {"F": 24, "C": 4, "embed_dim": 24, "pooling_func": "ASTP"}
SECOND = {"causal": "none", "feat_type": "tf", "spec_params": {"norm_signal": True}}
KERNEL = [[3, 3]]
FIRST_STAGES = [[1, 1, 2, KERNEL, None], [2, 2, 2, KERNEL, 6], [3, 1, 1, KERNEL, 4]]
SECOND_STAGES = [
    [[1, 1], 1, 3, KERNEL, 12],
    [[2, 1], 2, 1, KERNEL, None],
    [[1, 2], 1, 0.75, KERNEL, 6],
    [[2, 2], 1, 0.5, KERNEL, 4],
]
LARGE = {**SECOND, "F": 72, "return_2d_output": True, "agg_gnorm": True}
B1_STAGES = [
    [[1, 1], 2, 2, KERNEL, 32],
    [[2, 1], 3, 1, KERNEL, 32],
    [[1, 2], 4, 1, KERNEL, 32],
    [[2, 1], 5, 1, KERNEL, 32],
    [[1, 2], 4, 1, KERNEL, 16],
    [[2, 1], 3, 1, KERNEL, 16],
]
B2_STAGES = [
    [[1, 1], 2, 2, KERNEL, 40],
    [[2, 1], 3, 1, KERNEL, 30],
    [[1, 2], 4, 1, KERNEL, 30],
    [[3, 1], 5, 1, KERNEL, 20],
    [[1, 2], 4, 1, KERNEL, 20],
    [[2, 1], 3, 1, KERNEL, 10],
]
CASES = {
    "first": (
        ReDimNetWrap,
        {
            **NARROW,
            "block_1d_type": "conv+att",
            "block_2d_type": "basic_resnet_fwse",
            "stages_setup": FIRST_STAGES,
            "group_divisor": 2,
            "hop_length": 240,
            "global_context_att": True,
        },
    ),
    "first-convnext": (
        ReDimNetWrap,
        {
            **NARROW,
            "block_1d_type": "att",
            "block_2d_type": "convnext_like",
            "stages_setup": FIRST_STAGES,
            "group_divisor": 4,
        },
    ),
    "second": (
        ReDimNet2Wrap,
        {
            **NARROW,
            **SECOND,
            "return_2d_output": True,
            "out_channels": 10,
            "stages_setup": SECOND_STAGES,
        },
    ),
    "second-dual": (
        ReDimNet2Wrap,
        {
            **NARROW,
            **SECOND,
            "return_2d_output": True,
            "stages_setup": SECOND_STAGES,
            "dual_agg": True,
            "agg_gnorm": True,
            "global_context_att": False,
        },
    ),
    "second-rows": (
        ReDimNet2Wrap,
        {**NARROW, **SECOND, "out_channels": 10, "stages_setup": SECOND_STAGES, "agg_gnorm": True},
    ),
    "first-b2": (
        ReDimNetWrap,
        {
            "block_1d_type": "conv+att",
            "block_2d_type": "convnext_like",
            "group_divisor": 4,
            "hop_length": 240,
            "global_context_att": True,
        },
    ),
    "second-b1": (ReDimNet2Wrap, {**LARGE, "C": 16, "stages_setup": B1_STAGES}),
    "second-b2": (ReDimNet2Wrap, {**LARGE, "C": 20, "stages_setup": B2_STAGES}),
    "b3": (
        ReDimNet2Wrap,
        {**SECOND, "F": 72, "C": 24, "return_2d_output": True, "agg_gnorm": True},
    ),
}
golden = {}
paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
golden["names"] = np.array([path.relative_to(VOICES).as_posix() for path in paths])
for case, (network_class, config) in CASES.items():
    network = network_class(**config).eval()
    state = network.state_dict()
    shapes = {
        name: tuple(tensor.shape) for name, tensor in state.items() if not name.startswith("spec.")
    }
    drawn = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict({**state, **drawn})
    vectors = []
    for path in paths:
        wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        with torch.no_grad():
            vectors.append(network(wave)[0].numpy())
    golden[f"{case}.config"] = np.array(json.dumps(config))
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
    for name in ("melbanks_pt", "mel_scale.fb", "spectrogram.window", "flipped_filter"):
        found = [key for key in state if key.endswith(name)]
        if found and case in ("first", "second"):
            golden[f"{case}.buffers.{found[0]}"] = state[found[0]].numpy()
np.savez_compressed(Path(__file__).with_name("redimnet.npz"), **golden)
