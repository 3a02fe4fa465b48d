"""Vectors of 20 shipped utterances by Resemblyzer itself; writes resemblyzer.npz beside this file.

Run in an environment of its own, from the repository's root:

    pip install torch librosa "setuptools<81" webrtcvad-wheels
    pip install --no-deps resemblyzer==0.1.4
    python tests/golden/make_resemblyzer.py
"""

from pathlib import Path

import numpy as np
from resemblyzer import VoiceEncoder, preprocess_wav

VOICES = Path("src/timbral/demo/voices")

paths = sorted(VOICES.glob("*/*.ogg"))[::33][:20]
encoder = VoiceEncoder("cpu", verbose=False)
vectors = np.stack([encoder.embed_utterance(preprocess_wav(path)) for path in paths])
names = np.array([path.relative_to(VOICES).as_posix() for path in paths])
np.savez(Path(__file__).with_name("resemblyzer.npz"), names=names, vectors=vectors)
