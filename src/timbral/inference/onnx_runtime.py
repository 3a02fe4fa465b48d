"""The runtime of exported models, with onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from timbral.audio.decode import Wave
from timbral.embeddings.vectors import unit_length
from timbral.encoders.native_windows import Windows
from timbral.errors import CheckpointError, ConfigError, MissingExtraError, first_line
from timbral.inference.exported_model import (
    STATIC,
    ExportedModel,
    ExportedNetwork,
    read_content,
)
from timbral.inference.runtime import no_progress
from timbral.inference.wave_batches import equal_segments, owner_means, rows_by_length
from timbral.io.loaded_torch import Device, cpu_device, cpu_threads
from timbral.io.onnxruntime_import import import_onnxruntime
from timbral.io.types import Progress, Vectors

if TYPE_CHECKING:
    import torch

__all__ = ["OnnxRuntime", "open_session"]

SECONDS_PER_BATCH = 16
"""padded seconds in one batch"""
WINDOWS_AT_ONCE = 64
"""windows of one wave per call of the graph; longer waves are computed in blocks"""


def open_session(content: bytes, path: Path | str, simplified_to: Path | None = None) -> Any:
    """onnxruntime's session of a model on the CPU, with as many threads as torch has or would have.

    If `simplified_to` is given, the model is written to that file after constants are folded and
    equal values joined, in operators of ONNX, and the session runs that file. `path` is for errors.

    Raises MissingExtraError without onnxruntime, CheckpointError if it cannot load the model.
    """
    try:
        onnxruntime = import_onnxruntime()
    except ImportError:
        raise MissingExtraError(f"{path}: an exported model", "onnx") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpu_threads()
    options.inter_op_num_threads = 1
    # Threads that spin while waiting take twice the processor time and finish no sooner.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Planning which tensors share memory takes quadratic time, 6 of 8 s for CAM++;
    # without a plan, the arena finds free memory at run time and uses no more.
    options.enable_mem_reuse = options.enable_mem_pattern = False
    options.log_severity_level = 4  # errors are raised, not logged
    if simplified_to is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simplified_to)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's classes have no common base
        reason = first_line(error)[:200]
        raise CheckpointError(f"{path}: onnxruntime cannot load it ({reason})") from None


class OnnxRuntime:
    """An exported model: preprocessed waves (T,) to unit vectors (N, E).

    Attributes:
        model: metadata of the file
        network: properties of its network
    """

    precision: str
    seconds_per_batch = SECONDS_PER_BATCH

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._open()

    def _open(self) -> None:
        self.progress: Progress = no_progress
        self._session = open_session(read_content(self.path), self.path)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.model = ExportedModel.parse(metadata.get("timbral", "null"), self.path)
        self.network: ExportedNetwork = self.model.network
        self.precision = self.model.precision
        self._check_graph()

    def _check_graph(self) -> None:
        """Raise CheckpointError if the graph does not fit its metadata."""
        takes = {each.name: each.type for each in self._session.get_inputs()}
        gives = {each.name for each in self._session.get_outputs()}
        expected = {"waves": "tensor(float)", "lengths": "tensor(int64)"}
        if takes != expected or "vectors" not in gives:
            raise CheckpointError(
                f"{self.path}: its graph does not map waves and lengths to vectors; export the "
                "encoder again"
            )

    def __getstate__(self) -> dict[str, Any]:  # a session cannot be pickled, so it is opened again
        return {"path": self.path, "model": self.model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()
        if self.model.weights_sha256 != state["model"].weights_sha256:
            raise CheckpointError(f"{self.path}: was replaced by another model since the job began")

    @property
    def device(self) -> Device:
        """The CPU: torch's device if torch is loaded, else a substitute."""
        return cpu_device()

    def to(self, device: str | torch.device) -> None:
        """Raise ConfigError for anything but the CPU."""
        if str(device) != "cpu":
            raise ConfigError(f"device: an exported model runs on the cpu, not on {device}")

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors:
        """Waves (T,) at the network's rate, `min_samples` or longer, to vectors (N, E).

        As `TorchRuntime.embed_waves`, to 1e-4.
        """
        self._check_windows(windows)
        if not len(waves):
            return np.empty((0, self.network.embedding_dim), dtype=np.float32)
        longest = int(self.network.longest_seconds * self.network.sample_rate)
        if windows is not None:
            longest = (windows.frames + WINDOWS_AT_ONCE * windows.step) * self.network.hop_samples
        short = [row for row, wave in enumerate(waves) if windows is None or len(wave) <= longest]
        vectors = np.empty((len(waves), self.network.embedding_dim), dtype=np.float32)
        for row in set(range(len(waves))) - set(short):
            assert windows is not None, "only windows make a wave too long"
            vectors[row] = unit_length(self.embed_windows(waves[row], windows).mean(axis=0))
        if short:
            segments, owners = equal_segments([waves[row] for row in short], longest)
            vectors[short] = owner_means(self._embed(segments), owners, len(short))
        return vectors

    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors:
        """Raise ConfigError: the graph takes waveforms."""
        self.network.check_takes_mels()
        raise AssertionError("it raises")

    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors:
        """The unit vectors (W, E) of the windows of one wave (T,).

        A long wave is computed in blocks. A window depends on half an FFT beyond both of its ends,
        so a block has one more window on each side, whose vectors are dropped:

            windows of the wave   0 1 2 3 4 5 6 7
            first block           0 1 2 3 x
            second block                x 4 5 6 7
        """
        self._check_windows(windows)
        hop = self.network.hop_samples
        count = len(windows.starts(len(wave), hop))
        vectors = []
        for first in range(0, count, WINDOWS_AT_ONCE):
            before = min(first, 1)
            last = min(first + WINDOWS_AT_ONCE, count)
            start = (first - before) * windows.step * hop
            end = (last * windows.step + windows.frames) * hop
            block = wave[start : end if last < count else len(wave)]
            made = self._run([block], "window_vectors")[0]
            vectors.append(made[before : before + last - first])
        return np.concatenate(vectors)

    def _check_windows(self, windows: Windows | None) -> None:
        if windows != self.network.windows:
            raise ConfigError(
                f"{self.path.name}: its windows are part of the exported model and cannot be "
                "changed; export the encoder with other windows, or use it in torch"
            )

    def _embed(self, waves: Sequence[Wave]) -> Vectors:
        vectors = np.empty((len(waves), self.network.embedding_dim), dtype=np.float32)
        # In a batch the last bit of a number may differ, and then its rounding to 8 bits, too.
        alone = self.precision == STATIC
        limit = 0 if alone else SECONDS_PER_BATCH * self.network.sample_rate
        lengths = [len(wave) for wave in waves]
        done, total = 0, sum(lengths)
        for rows in rows_by_length(lengths, limit):
            vectors[rows] = self._run([waves[row] for row in rows], "vectors")
            done += sum(lengths[row] for row in rows)
            self.progress(done, total)
        return vectors

    def _run(self, waves: Sequence[Wave], output: str) -> Vectors:
        lengths = np.array([len(wave) for wave in waves], dtype=np.int64)
        padded = np.zeros((len(waves), lengths.max()), dtype=np.float32)
        for row, wave in enumerate(waves):
            padded[row, : len(wave)] = wave
        made: Vectors = self._session.run([output], {"waves": padded, "lengths": lengths})[0]
        if made.shape[-1] != self.network.embedding_dim:
            raise CheckpointError(
                f"{self.path}: its graph returns {made.shape[-1]} numbers instead of "
                f"{self.network.embedding_dim}; export the encoder again"
            )
        return made
