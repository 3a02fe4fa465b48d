"""The class weights of an earlier run, kept for the last steps with a larger margin.

Large-margin fine-tuning (Thienpondt et al., The IDLab VoxSRC-20 submission, ICASSP 2021) continues
with encoder and classifier on the same speakers, with longer crops and without speed copies.
"""

from __future__ import annotations

from torch import nn

from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.weights import load_strictly, read_tensors, with_prefix
from timbral.data.training_list import TrainingList
from timbral.errors import ConfigError
from timbral.training.data import TrainingData

__all__ = ["keep_classifier"]


def keep_classifier(loss_fn: nn.Module, initial: Checkpoint, data: TrainingData) -> None:
    """Initialize a loss with the trained one of `initial`: its w and b, or its class weights.

    Class weights of copies at other speeds are dropped. Raises ConfigError if there is no such
    loss, or it was trained on other speakers; CheckpointError for tensors that do not fit.
    """
    tensors = with_prefix(read_tensors(initial.weights_path), "loss")
    where = initial.weights_path
    if not tensors:
        raise ConfigError(
            f"{where}: contains no loss (saved, pushed and averaged encoders have none); "
            "`keep_classifier` needs a run folder or one of its checkpoints as `init`"
        )
    _check_speakers(initial, data)
    speed = initial.config.augment.speed
    copies = len(speed.factors) if speed.new_speakers and speed.factors[0] == 1.0 else 1
    for name, wanted in loss_fn.state_dict().items():
        kept = tensors.get(name)
        if kept is not None and kept.ndim and len(kept) == copies * len(wanted):
            tensors[name] = kept[: len(wanted)]  # the recorded speakers come first
    load_strictly(loss_fn, tensors, where)


def _check_speakers(initial: Checkpoint, data: TrainingData) -> None:
    """Raise ConfigError unless the earlier run trained on the same speakers."""
    path = initial.training_list
    if path is None:
        raise ConfigError(
            f"{initial.folder}: its list of training speakers is missing, so the speakers of "
            "its class weights are unknown"
        )
    earlier = set(TrainingList.read(path).table["speaker"].unique().to_pylist())
    codes = set(data.data.speaker_codes[data.rows].tolist())
    now = {name for code, name in enumerate(data.data.speaker_names) if code in codes}
    if earlier != now:
        other = sorted(earlier ^ now)
        raise ConfigError(
            f"`keep_classifier`: {initial.folder} was trained on {len(earlier)} speakers, but "
            f"there are {len(now)} now; only one of the two has "
            f"{', '.join(other[:3])}{' …' if len(other) > 3 else ''}. Use the data and "
            "`validation_speakers` of that run"
        )
