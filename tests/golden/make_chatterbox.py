"""Vectors of shipped utterances by chatterbox's VoiceEncoder; writes chatterbox.npz beside this.

Its weights are random, those of `weights.py`. Run in an environment of its own, from the
repository's root:

    pip install torch librosa
    pip download --no-deps chatterbox-tts==0.1.7
    unzip chatterbox_tts-*.whl 'chatterbox/models/voice_encoder/*' -d original
    PYTHONPATH=original python tests/golden/make_chatterbox.py
"""

from pathlib import Path

import librosa
import numpy as np
import torch
from chatterbox.models.voice_encoder import VoiceEncoder
from weights import fill

VOICES = Path("src/timbral/demo/voices")

paths = sorted(VOICES.glob("*/*.ogg"))[::60][:8]
encoder = VoiceEncoder().eval()
shapes = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
encoder.load_state_dict({name: torch.from_numpy(each) for name, each in fill(shapes).items()})
waves = [librosa.load(path, sr=16_000)[0] for path in paths]
vectors = np.stack([encoder.embeds_from_wavs([wave], sample_rate=16_000)[0] for wave in waves])
np.savez_compressed(
    Path(__file__).with_name("chatterbox.npz"),
    names=np.array([path.relative_to(VOICES).as_posix() for path in paths]),
    tensors=np.array(list(shapes)),
    shapes=np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    vectors=vectors,
)
