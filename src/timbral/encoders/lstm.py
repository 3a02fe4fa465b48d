"""The LSTM d-vector (Wan et al., Generalized End-to-End Loss for Speaker Verification, 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import LARGEST_SIZE, MOST_LAYERS, SpeakerEncoder
from timbral.encoders.frontends import GE2E_MEL, MelSpectrogram
from timbral.encoders.layers.frames import at_least_float32
from timbral.encoders.native_windows import Windows
from timbral.errors import check_choice, check_ranges

__all__ = ["LstmConfig", "LstmEncoder"]

MEL_EDGES = ("zeros", "mirrored")


@dataclass(frozen=True)
class LstmConfig:
    """Sizes of the network and its windows; the defaults are PaddleSpeech's."""

    num_layers: int = 3
    hidden_size: int = 256
    embedding_dim: int = 256
    n_mels: int = 40
    window_frames: int = 160
    """length of the windows into which longer utterances are cut, in frames of 10 ms"""
    window_step: int = 80
    """frames between two windows"""
    window_min_coverage: float = 0.75
    """the last window is left out if a smaller fraction of it is audio"""
    mel_edges: str = "zeros"
    """zeros | mirrored (chatterbox's): how audio is padded at both ends for the mels; with
    mirrored, frames after the last one are zero"""

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "embedding_dim", "n_mels", "window_frames", "window_step")
        check_ranges(self, "encoder", **dict.fromkeys(sizes, (1, LARGEST_SIZE)))
        check_ranges(self, "encoder", num_layers=(1, MOST_LAYERS), window_min_coverage=(0.0, 1.0))
        check_choice("encoder.mel_edges", self.mel_edges, MEL_EDGES)


class LstmEncoder(SpeakerEncoder):
    """Last output of a unidirectional LSTM, linear, ReLU, unit length.

    Parameters have the names and shapes of Resemblyzer and Real-Time-Voice-Cloning.
    """

    name = "lstm"
    config_type = LstmConfig
    tiny_config = LstmConfig(num_layers=2, hidden_size=16, embedding_dim=16)
    config: LstmConfig

    def __init__(self, config: LstmConfig) -> None:
        super().__init__(config)
        mels = replace(GE2E_MEL, n_mels=config.n_mels, edges=config.mel_edges)
        self.frontend = MelSpectrogram(mels)
        self.zero_frames_after_end = config.mel_edges == "mirrored"
        self.embedding_dim = config.embedding_dim
        self.min_samples = self.sample_rate // 10
        self.windows = Windows(config.window_frames, config.window_step, config.window_min_coverage)
        self.lstm = nn.LSTM(config.n_mels, config.hidden_size, config.num_layers, batch_first=True)
        self.linear = nn.Linear(config.hidden_size, config.embedding_dim)
        self._initialize()

    @torch.no_grad()
    def _initialize(self) -> None:
        """Initialize such that the first embeddings depend on the audio.

        Mels are powers, mostly near zero. With torch's random biases all utterances have nearly the
        same vector at first (cosine 0.998), from which GE2E does not recover, or only with dead
        ReLUs. With orthogonal recurrent weights and biases only in the forget gate the cosine is
        0.45.
        """
        for name, parameter in self.lstm.named_parameters():
            gates = parameter.chunk(4)  # input, forget, cell, output
            for index, gate in enumerate(gates):
                if "weight_hh" in name:
                    nn.init.orthogonal_(gate)
                elif "weight_ih" in name:
                    nn.init.xavier_uniform_(gate)
                else:
                    nn.init.constant_(gate, 1.0 if index == 1 and "bias_ih" in name else 0.0)
        nn.init.zeros_(self.linear.bias)

    def layer_groups(self) -> dict[str, list[nn.Module]]:
        return {"body": [self.lstm], "head": [self.linear]}

    def embed_features(self, features: Tensor, frame_lengths: Tensor) -> Tensor:
        outputs, _ = self.lstm(features)  # (B, F, H)
        rows = torch.arange(outputs.shape[0], device=outputs.device)
        last = outputs[rows, frame_lengths - 1]  # causal, so padding does not affect it
        return functional.normalize(at_least_float32(functional.relu(self.linear(last))), dim=1)
