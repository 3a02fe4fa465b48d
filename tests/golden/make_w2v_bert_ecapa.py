"""Vectors of shipped utterances by UniSpeech's ECAPA-TDNN on transformers' w2v-BERT at random
weights; writes w2v_bert_ecapa.npz beside this file.

UniSpeech's class takes any network that gives hidden states for a list of waves; here that is
w2v-BERT after its own feature extractor. UNISPEECH is downstreams/speaker_verification of
microsoft/UniSpeech at 40d3227. Run from the repository's root:

    pip install torch soundfile transformers==5.24.0
    PYTHONPATH=UNISPEECH python tests/golden/make_w2v_bert_ecapa.py
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import torch
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel
from weights import fill

VOICES = Path("src/timbral/demo/voices")
CONFIG = Wav2Vec2BertConfig(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    left_max_position_embeddings=12,
    right_max_position_embeddings=5,
)


class Upstream(torch.nn.Module):
    """w2v-BERT as UniSpeech asks s3prl's networks."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.extractor = SeamlessM4TFeatureExtractor(padding_value=1.0)
        self.model = Wav2Vec2BertModel(CONFIG)

    def forward(self, waves: list[torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
        arrays = [wave.cpu().numpy() for wave in waves]
        features = self.extractor(
            arrays, return_tensors="pt", sampling_rate=16_000, padding="longest"
        )
        return {"hidden_states": self.model(**features, output_hidden_states=True).hidden_states}


for name in ("torchaudio", "torchaudio.transforms", "models.utils"):  # imported and not used
    sys.modules[name] = ModuleType(name)
sys.modules["models.utils"].__dict__["UpstreamExpert"] = Upstream
from models.ecapa_tdnn import ECAPA_TDNN  # noqa: E402

network = ECAPA_TDNN(
    feat_dim=32, channels=16, emb_dim=24, feat_type="w2v_bert", config_path="unused"
).eval()
shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
state = {name: torch.from_numpy(np.array(array)) for name, array in fill(shapes).items()}
network.load_state_dict(state)
paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
vectors = []
for path in paths:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 16_000
    with torch.no_grad():
        vectors.append(network(torch.from_numpy(wave)[None])[0].numpy())
np.savez_compressed(
    Path(__file__).with_name("w2v_bert_ecapa.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    config=np.array(json.dumps(CONFIG.to_diff_dict())),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    vectors=np.stack(vectors),
)
