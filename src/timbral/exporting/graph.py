"""The graph of an encoder: waves (B, T) and lengths (B,) in, unit vectors (B, E) out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.layers.frames import frame_mask
from timbral.encoders.native_windows import Windows
from timbral.exporting.replacements import with_replacements

__all__ = ["WaveGraph", "WindowGraph", "graph_of"]


class WaveGraph(nn.Module):
    """Embed whole utterances; padding does not affect the vectors."""

    outputs = ("vectors",)

    def __init__(self, network: SpeakerEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        return (functional.normalize(self.network(waves, lengths), dim=1),)


class WindowGraph(nn.Module):
    """Embed utterances in windows: vectors (B, E), the mean of the windows' unit vectors at unit
    length, and the windows' vectors (B, W, E).

    Windows after the end of an utterance, in a batch with a longer one, do not contribute to its
    mean.
    """

    outputs = ("vectors", "window_vectors")

    def __init__(self, network: SpeakerEncoder, windows: Windows) -> None:
        super().__init__()
        self.network, self.windows = network, windows
        covered = windows.min_coverage * windows.frames * network.hop_samples
        self.least_covered = math.ceil(round(covered, 6))
        """least number of samples of the last window that must be audio"""

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        frames, step = self.windows.frames, self.windows.step
        waves = waves.masked_fill(~frame_mask(lengths, waves.shape[1]), 0.0)
        padding = max(frames, step) * self.network.hop_samples
        padded = functional.pad(waves, (0, padding))
        full_lengths = lengths * 0 + padded.shape[1]
        ends = lengths if self.network.zero_frames_after_end else full_lengths
        features, _ = self.network.features(padded, ends)
        counts = self._counts(lengths)
        starts = torch.arange(0, features.shape[1] - frames + 1, step, device=waves.device)
        index = starts[: counts.max(), None] + torch.arange(frames, device=waves.device)
        windows = features[:, index]  # (B, W, F, M)
        flat = windows.flatten(0, 1)
        vectors = self.network.embed_features(flat, flat[:, 0, 0].long() * 0 + frames)
        vectors = functional.normalize(vectors, dim=1).view(*windows.shape[:2], -1)
        inside = frame_mask(counts, windows.shape[1])[:, :, None]
        return functional.normalize((vectors * inside).sum(1), dim=1), vectors

    def _counts(self, lengths: Tensor) -> Tensor:
        """The number of windows of each utterance (B,), as in `Windows.starts`."""
        frames, step, hop = self.windows.frames, self.windows.step, self.network.hop_samples
        counts = torch.div(lengths + hop, hop, rounding_mode="floor") - frames + step + 1
        counts = torch.div(counts.clamp(min=1) + step - 1, step, rounding_mode="floor")
        covered = lengths - (counts - 1) * step * hop
        return counts - ((covered < self.least_covered) & (counts > 1)).long()


def graph_of(network: SpeakerEncoder) -> WaveGraph | WindowGraph:
    """The graph of a network; the network itself is copied."""
    exported = with_replacements(network)
    windows = exported.windows
    return WaveGraph(exported) if windows is None else WindowGraph(exported, windows)
