"""Vectors of 20 shipped utterances by SpeechBrain's own ECAPA-TDNN; writes speechbrain.npz.

Its features, its sentence normalization and its class run as they are, at the sizes of
spkrec-ecapa-voxceleb, with the random weights of weights.py. Run in an environment of its own,
from the repository's root. SpeechBrain imports torchaudio, of which nothing is used; where its
compiled part does not load, remove its folder lib/: the rest is Python.

    pip install torch torchaudio soundfile speechbrain==1.1.2
    python tests/golden/make_speechbrain.py
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from speechbrain.lobes.features import Fbank
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from speechbrain.processing.features import InputNormalization
from weights import fill

VOICES = Path("src/timbral/demo/voices")

paths = sorted(VOICES.glob("*/*.ogg"))[::33][:20]
encoder = ECAPA_TDNN(
    input_size=80,
    channels=[1024, 1024, 1024, 1024, 3072],
    kernel_sizes=[5, 3, 3, 3, 1],
    dilations=[1, 2, 3, 4, 1],
    attention_channels=128,
    lin_neurons=192,
)
shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
encoder.load_state_dict({name: torch.from_numpy(a) for name, a in fill(shapes).items()})
encoder.eval()
features, normalize = Fbank(n_mels=80), InputNormalization(norm_type="sentence", std_norm=False)
vectors = []
for path in paths:
    wave, sample_rate = soundfile.read(path, dtype="float32")
    assert sample_rate == 16_000
    with torch.no_grad():
        frames = normalize(features(torch.from_numpy(wave)[None]), torch.ones(1))
        vectors.append(encoder(frames, torch.ones(1))[0, 0].numpy())
np.savez_compressed(
    Path(__file__).with_name("speechbrain.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    vectors=np.stack(vectors),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
)
