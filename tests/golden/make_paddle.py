"""Vectors of 20 shipped utterances by an LSTM in Paddle, in the layers that PaddleSpeech builds.

Writes paddle.npz and, with `paddle.save`, paddle-tiny.pdparams. Random weights (weights.py) at a
small size; mels are librosa's, of the first 160 frames of each utterance.

    pip install paddlepaddle==3.3.1 librosa soundfile
    python tests/golden/make_paddle.py
"""

from pathlib import Path

import librosa
import numpy as np
import paddle
import soundfile
from weights import fill

VOICES = Path("src/timbral/demo/voices")
HERE = Path(__file__).parent


class SpeakerEncoder(paddle.nn.Layer):
    def __init__(self, mels: int, layers: int, hidden: int, size: int) -> None:
        super().__init__()
        self.lstm = paddle.nn.LSTM(mels, hidden, layers)
        self.linear = paddle.nn.Linear(hidden, size)
        self.similarity_weight = self.create_parameter([1])
        self.similarity_bias = self.create_parameter([1])

    def forward(self, mels: paddle.Tensor) -> paddle.Tensor:
        _, (hidden, _) = self.lstm(mels)
        embedding = paddle.nn.functional.relu(self.linear(hidden[-1]))
        return paddle.nn.functional.normalize(embedding)


encoder = SpeakerEncoder(40, 2, 24, 16)
state = encoder.state_dict()
arrays = fill({name: tuple(tensor.shape) for name, tensor in state.items()})
for layer in range(2):  # Paddle lists each tensor of an LSTM under two names
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        arrays[f"lstm.{layer}.cell.{name}"] = arrays[f"lstm.{name}_l{layer}"]
encoder.set_state_dict(arrays)
encoder.eval()
paths = sorted(VOICES.glob("*/*.ogg"))[::33][:20]
vectors = []
for path in paths:
    wave, _ = soundfile.read(path, dtype="float32")
    mel = librosa.feature.melspectrogram(y=wave, sr=16_000, n_fft=400, hop_length=160, n_mels=40)
    vectors.append(encoder(paddle.to_tensor(mel.T[None, :160].astype("float32")))[0].numpy())
paddle.save(encoder.state_dict(), str(HERE / "paddle-tiny.pdparams"))
names = np.array([path.relative_to(VOICES).as_posix() for path in paths])
np.savez_compressed(HERE / "paddle.npz", names=names, vectors=np.stack(vectors))
