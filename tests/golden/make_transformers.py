"""Vectors of shipped utterances by transformers' WavLMForXVector; writes transformers.npz and the
folders wavlm-base-tiny and wavlm-large-tiny, as save_pretrained writes them.

Random weights (weights.py) in the form of the base models (group norm, weighted hidden states)
and of the large one (layer norm, normalized waves), both tiny, and the first at full size. Every
utterance runs alone and unpadded, through the feature extractor.

    pip install torch soundfile transformers==5.23.0
    python tests/golden/make_transformers.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector
from weights import fill

VOICES = Path("src/timbral/demo/voices")
HERE = Path(__file__).parent
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "tdnn_dim": [16, 16, 16, 16, 24],
    "xvector_output_dim": 16,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
CASES = {
    "base-tiny": ({**SIZES, "use_weighted_layer_sum": True}, False, 20),
    "large-tiny": ({**SIZES, **LARGE}, True, 20),
    "base-full": ({"use_weighted_layer_sum": True}, False, 4),
}

saved: dict[str, np.ndarray] = {}
for case, (sizes, do_normalize, count) in CASES.items():
    paths = sorted(VOICES.glob("*/*.ogg"))[::33][:count]
    model = WavLMForXVector(WavLMConfig(**sizes)).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(a) for name, a in fill(shapes).items()})
    extract = Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    vectors = []
    for path in paths:
        wave, sample_rate = soundfile.read(path, dtype="float32")
        inputs = extract(wave, sampling_rate=sample_rate, return_tensors="pt")
        with torch.no_grad():
            vectors.append(model(inputs.input_values).embeddings[0].numpy())
    saved[f"{case}.names"] = np.array([path.relative_to(VOICES).as_posix() for path in paths])
    saved[f"{case}.vectors"] = np.stack(vectors)
    if case.endswith("tiny"):
        model.save_pretrained(HERE / f"wavlm-{case}")
        extract.save_pretrained(HERE / f"wavlm-{case}")
    else:
        saved[f"{case}.tensors"] = np.array(list(shapes))
        saved[f"{case}.shapes"] = np.array([" ".join(map(str, s)) for s in shapes.values()])
np.savez_compressed(HERE / "transformers.npz", **saved)
