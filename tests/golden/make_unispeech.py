"""Vectors of shipped utterances by UniSpeech's speaker verification at random weights; writes
unispeech.npz beside this file.

Its ECAPA-TDNN on s3prl's WavLM, both as they are, but small; what else s3prl would import is left
out. UNISPEECH is downstreams/speaker_verification of microsoft/UniSpeech at 40d3227, S3PRL a
checkout of s3prl/s3prl at ec8064b. Run from the repository's root:

    pip install torch soundfile
    PYTHONPATH=UNISPEECH:S3PRL python tests/golden/make_unispeech.py
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
CONFIG = {
    "extractor_mode": "layer_norm",
    "encoder_layers": 3,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 2,
    "layer_norm_first": True,
    "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
    "normalize": True,
    "conv_pos": 8,
    "conv_pos_groups": 2,
    "relative_position_embedding": True,
    "num_buckets": 320,
    "max_distance": 800,
    "gru_rel_pos": True,
}


def stub(name: str, **names: object) -> None:
    """Stands for a module that is imported and not used."""
    module = sys.modules[name] = ModuleType(name)
    module.__dict__.update(names)


stub("torchaudio")
stub("torchaudio.transforms")
stub("models.utils", UpstreamExpert=None)
stub("s3prl", __path__=[str(Path(entry, "s3prl")) for entry in sys.path if entry])
stub("s3prl.utility")
stub("s3prl.utility.helper", show=print)
from models import ecapa_tdnn  # noqa: E402
from s3prl.upstream.wavlm.expert import UpstreamExpert  # noqa: E402
from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig  # noqa: E402


def expert(path: str) -> UpstreamExpert:
    """s3prl's WavLM, small, as its own loader builds it from a file."""
    network = WavLM(WavLMConfig(CONFIG))
    torch.save({"cfg": CONFIG, "model": network.state_dict()}, path)
    return UpstreamExpert(path)


with tempfile.TemporaryDirectory() as folder:
    ecapa_tdnn.UpstreamExpert = expert
    network = ecapa_tdnn.ECAPA_TDNN(
        feat_dim=16,
        channels=16,
        emb_dim=24,
        feat_type="wavlm_large",
        config_path=f"{folder}/wavlm.pt",
    )
network.eval()
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
    Path(__file__).with_name("unispeech.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    vectors=np.stack(vectors),
)
