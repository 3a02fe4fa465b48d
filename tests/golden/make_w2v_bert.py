"""Vectors of shipped utterances by WeSpeaker's w2v-BERT with adapters at random weights; writes
w2v_bert.npz beside this file.

WeSpeaker's head on transformers' Wav2Vec2BertModel and SeamlessM4TFeatureExtractor, as its
front-end puts them together, but small. WESPEAKER is a checkout of wenet-e2e/wespeaker at dfa7419.
Run from the repository's root:

    pip install torch soundfile transformers==5.24.0
    PYTHONPATH=WESPEAKER python tests/golden/make_w2v_bert.py
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel
from weights import fill

package = sys.modules["wespeaker"] = ModuleType("wespeaker")  # without what it would import
package.__path__ = [str(Path(entry, "wespeaker")) for entry in sys.path if entry]
from wespeaker.models.w2vbert_adapter_mfa import W2VBert_Adapter_MFA  # noqa: E402

VOICES = Path("src/timbral/demo/voices")
CONFIG = Wav2Vec2BertConfig(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    left_max_position_embeddings=12,
)
extractor = SeamlessM4TFeatureExtractor(padding_value=1.0)
network = W2VBert_Adapter_MFA(32, 24, n_mfa_layers=3, adapter_dim=12, num_frontend_hidden_layers=3)
frontend = torch.nn.Module()
frontend.encoder = Wav2Vec2BertModel(CONFIG)
del frontend.encoder.masked_spec_embed
network.add_module("frontend", frontend)
network.eval()
shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
network.load_state_dict(state)
paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
vectors, frames = [], []
for path in paths:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    features = extractor([wave], return_tensors="pt", sampling_rate=sample_rate, padding="longest")
    frames.append((len(wave) - 400) // 160 + 1)
    with torch.no_grad():
        states = frontend.encoder(
            features["input_features"],
            attention_mask=features["attention_mask"],
            output_hidden_states=True,
            return_dict=True,
        ).hidden_states
        vectors.append(network(states)[1][0].numpy())
assert {count % 2 for count in frames} == {0, 1}, frames
np.savez_compressed(
    Path(__file__).with_name("w2v_bert.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    vectors=np.stack(vectors),
)
