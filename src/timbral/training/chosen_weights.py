"""The end of a run with `keep_old`: choose the share of trained weights that becomes its result.

RUN/keep-old/
  KEY-SHARE.npy    scores of a share's trials: an interrupted choice resumes with the next one
  choice.json      EERs of every share, and the chosen one
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from timbral.checkpoints.averaging import weighted_mean
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.checkpoints.weights import hash_weights, load_network
from timbral.encoders.base import SpeakerEncoder
from timbral.errors import TrainingError
from timbral.io.files import atomic_write, write_json
from timbral.io.types import Progress, Vectors
from timbral.scoring.metrics import eer
from timbral.training.distributed import Ranks
from timbral.training.old_voices import WatchedValidation
from timbral.training.run_folder import RunFolder
from timbral.training.share_choice import (
    TRAINED_SHARES,
    ShareChoice,
    VoiceTrials,
    choose_share,
    share_figures,
)
from timbral.training.validation import Validation

__all__ = ["StartingWeights", "choose_weights"]

Kinds = Sequence[tuple[str, Validation]]
"""kinds of voices by name: the new ones first, then the old ones"""


@dataclass(frozen=True)
class StartingWeights:
    """The initial weights of a training."""

    name: str
    tensors: Mapping[str, Tensor]
    digest: str

    @classmethod
    def of(cls, encoder: SpeakerEncoder, name: str) -> StartingWeights:
        """A copy of an encoder's current weights."""
        tensors = {key: tensor.detach().cpu().clone() for key, tensor in _tensors(encoder).items()}
        return cls(name, tensors, hash_weights(encoder))


def choose_weights(
    folder: RunFolder,
    start: StartingWeights,
    network: SpeakerEncoder,
    validation: WatchedValidation,
    ranks: Ranks,
    progress: Progress,
) -> ShareChoice:
    """Choose the share of the best checkpoint's weights, and make it the run's result.

    Every rank scores some of the shares; the first one chooses and writes. The weights are
    averaged in `network`, on the computing device, and replace its own. `progress` is called with
    the number of scored shares, and of all.

    Raises TrainingError if vectors of a share are not finite.
    """
    best = Checkpoint.read(ranks.broadcast_object(folder.best() if ranks.is_first else None))
    end = _tensors(load_network(best))
    kinds = validation.compared()
    scores = _Scores(folder.folder / "keep-old", _key(start, best, kinds), kinds)
    progress(0, len(TRAINED_SHARES))
    for number, trained_share in enumerate(TRAINED_SHARES):
        if number % ranks.count == ranks.rank and scores.read(trained_share) is None:
            _set_mean(network, start, end, trained_share)
            scores.compute(trained_share, network)
        progress(number + 1, len(TRAINED_SHARES))
    ranks.wait_for_all()  # until all have written their scores
    choice = _choose(scores, kinds, start.name) if ranks.is_first else None
    if choice is not None:
        _set_mean(network, start, end, choice.chosen.trained_share)
        new = scores.required(choice.chosen.trained_share)[0]
        rate, threshold = eer(new, kinds[0][1].labels)
        kept = choice.as_dict()
        figures = {"best_score": rate, "val_threshold": threshold, "keep_old": kept}
        write_json(scores.folder / "choice.json", {**kept, "shares": choice.table()})
        folder.save_chosen(network, best, figures)
        scores.forget_others()
    return ranks.broadcast_object(choice)


def _choose(scores: _Scores, kinds: Kinds, start: str) -> ShareChoice:
    voices = [VoiceTrials(name, one.labels, *one.sides) for name, one in kinds]
    figures = share_figures(
        voices, {trained_share: scores.required(trained_share) for trained_share in TRAINED_SHARES}
    )
    counts = tuple(trials.num_speakers for trials in voices)
    return ShareChoice(choose_share(figures), tuple(figures), counts, start)


def _set_mean(
    network: SpeakerEncoder, start: StartingWeights, end: Mapping[str, Tensor], trained_share: float
) -> None:
    """Set a network to a weighted mean: `trained_share` of `end`, the rest of `start`.

    This includes batch norm's statistics; its counters are those of `end`.
    """
    network.load_state_dict(
        weighted_mean([end, start.tensors], [trained_share, 1.0 - trained_share])
    )
    network.eval()


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict(network.state_dict())


def _key(start: StartingWeights, best: Checkpoint, kinds: Kinds) -> str:
    """A hash of everything, besides the share, that determines the scores."""
    digest = hashlib.sha256(f"{start.digest} {best.weights_sha256}".encode())
    for _, validation in kinds:
        digest.update(f" {len(validation.rows)}".encode())
        for row in validation.rows.tolist():
            validation.data.update_hash(digest, row)
    return digest.hexdigest()[:16]


class _Scores:
    """Scores of all trials by share, in files named by a hash of what determines them."""

    def __init__(self, folder: Path, key: str, kinds: Kinds) -> None:
        self.folder = folder
        self._key = key
        self._kinds = kinds
        self._sizes = [len(validation.labels) for _, validation in kinds]

    def read(self, trained_share: float) -> list[Vectors] | None:
        """The scores (N,) of the trials of each kind of voices; None if they are missing."""
        try:
            together = np.load(self._path(trained_share), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        if together.dtype != np.float32 or together.shape != (sum(self._sizes),):
            return None
        return np.split(together, np.cumsum(self._sizes)[:-1])

    def required(self, trained_share: float) -> list[Vectors]:
        """Like `read`, for scores that some rank has written; TrainingError if they are missing."""
        scores = self.read(trained_share)
        if scores is None:
            raise TrainingError(
                f"{self._path(trained_share)}: cannot be read; start the same run again"
            )
        return scores

    def compute(self, trained_share: float, network: SpeakerEncoder) -> None:
        scores = np.concatenate([one.score(network) for _, one in self._kinds]).astype(np.float32)
        if not np.isfinite(scores).all():
            raise TrainingError(
                f"`keep_old`: with a share of {trained_share:g}, vectors are not finite"
            )
        with atomic_write(self._path(trained_share)) as temporary, open(temporary, "wb") as file:
            np.save(file, scores)

    def forget_others(self) -> None:
        """Delete scores of earlier choices with other weights or voices."""
        for path in self.folder.glob("*.npy"):
            if not path.name.startswith(self._key):
                path.unlink(missing_ok=True)

    def _path(self, trained_share: float) -> Path:
        return self.folder / f"{self._key}-{trained_share:g}.npy"
