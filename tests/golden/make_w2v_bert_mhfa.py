"""Vectors of shipped utterances by transformers' w2v-BERT under BUT's MHFA at random weights;
writes w2v_bert_mhfa.npz beside this file.

WESPEAKER is a checkout of BUTSpeechFIT/wespeaker_ssl_public at 34e1343. No project is known that
publishes weights of the two together. Run from the repository's root:

    pip install torch soundfile transformers==5.24.0
    PYTHONPATH=WESPEAKER python tests/golden/make_w2v_bert_mhfa.py
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

package = sys.modules["wespeaker"] = ModuleType("wespeaker")  # without what it would import
package.__path__ = [str(Path(entry, "wespeaker")) for entry in sys.path if entry]
from wespeaker.models.ssl_backend import MHFA  # noqa: E402

VOICES = Path("src/timbral/demo/voices")
CONFIG = Wav2Vec2BertConfig(
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    left_max_position_embeddings=12,
    right_max_position_embeddings=5,
)
extractor = SeamlessM4TFeatureExtractor(padding_value=1.0)
network = torch.nn.ModuleDict(
    {
        "body": Wav2Vec2BertModel(CONFIG),
        "head": MHFA(head_nb=6, inputs_dim=32, compression_dim=12, outputs_dim=24, nb_layer=4),
    }
).eval()
shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
network.load_state_dict({name: torch.from_numpy(array) for name, array in fill(shapes).items()})
paths = sorted(VOICES.glob("*/*.ogg"))[::97][:4]
vectors = []
for path in paths:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    features = extractor([wave], return_tensors="pt", sampling_rate=sample_rate, padding="longest")
    with torch.no_grad():
        states = network["body"](**features, output_hidden_states=True).hidden_states
        stacked = torch.stack([state.transpose(1, 2) for state in states], dim=-1)
        vectors.append(network["head"](stacked)[0].numpy())
np.savez_compressed(
    Path(__file__).with_name("w2v_bert_mhfa.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    config=np.array(json.dumps(CONFIG.to_diff_dict())),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    vectors=np.stack(vectors),
)
