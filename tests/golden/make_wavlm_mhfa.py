"""Vectors of shipped utterances by BUT's WavLM with MHFA at random weights; writes wavlm_mhfa.npz
beside this file.

WESPEAKER is a checkout of BUTSpeechFIT/wespeaker_ssl_public at 34e1343, whose classes are as they
are, but small. Run from the repository's root:

    pip install torch soundfile
    PYTHONPATH=WESPEAKER python tests/golden/make_wavlm_mhfa.py
"""

import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import torch
from weights import fill

VOICES = Path("src/timbral/demo/voices")
SIZES = {
    "encoder_layers": 3,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "relative_position_embedding": True,
    "num_buckets": 320,
    "max_distance": 800,
    "gru_rel_pos": True,
}
CONFIGS = {
    "base": {**SIZES, "extractor_mode": "default", "layer_norm_first": False, "normalize": False},
    "large": {**SIZES, "extractor_mode": "layer_norm", "layer_norm_first": True, "normalize": True},
}
package = sys.modules["wespeaker"] = ModuleType("wespeaker")  # without what it would import
package.__path__ = [str(Path(entry, "wespeaker")) for entry in sys.path if entry]
from wespeaker.models.ssl.WavLM import WavLM, WavLMConfig  # noqa: E402
from wespeaker.models.Transformer_WavLM import WavLM_MHFA  # noqa: E402

paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
golden = {"names": np.array([path.relative_to(VOICES).as_posix() for path in paths])}
for case, config in CONFIGS.items():
    with tempfile.TemporaryDirectory() as folder:
        pretrained = f"{folder}/WavLM.pt"
        torch.save({"cfg": config, "model": WavLM(WavLMConfig(config)).state_dict()}, pretrained)
        network = WavLM_MHFA(pretrained, "MHFA", head_nb=6, embed_dim=24, group=1).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
    network.load_state_dict(state)
    vectors = []
    for path in paths:
        wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
        with torch.no_grad():
            vectors.append(network(wave)[0].numpy())
    golden[f"{case}.tensors"] = np.array(list(shapes))
    golden[f"{case}.shapes"] = np.array([" ".join(map(str, shape)) for shape in shapes.values()])
    golden[f"{case}.vectors"] = np.stack(vectors)
np.savez_compressed(Path(__file__).with_name("wavlm_mhfa.npz"), **golden)
