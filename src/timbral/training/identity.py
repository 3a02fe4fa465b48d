"""The identity of a run: it is resumed only with the same config, data and initial weights.

RUN/run.json contains the config and the `DataIdentity`; any other ones give an error with a table
of differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from timbral.config.schema import TrainConfig
from timbral.config.yaml import flatten, to_mapping
from timbral.errors import TrainingError
from timbral.io.files import read_json, write_json

__all__ = ["DataIdentity", "RunIdentity"]

CHANGEABLE = (
    "schedule.max_minutes",
    "trainer.log_every",
    "trainer.validate_every",
    "trainer.save_every",
    "trainer.keep_last_n",
)
"""settings that do not affect the weights, besides all of `tracking`"""


@dataclass(frozen=True)
class DataIdentity:
    """Everything besides the config that determines the weights of a run."""

    training_utterances: str
    """their number, and a hash of their ids and lengths"""
    validation_utterances: str
    preprocessing: dict[str, Any]
    precision: str
    """fp32, tf32 or bf16: on the machine, if `auto`"""
    initial_weights: str | None = None
    """hash of the initial weights"""
    teacher: str | None = None
    """name of the teacher and a hash of its weights"""

    def same_utterances(self, other: DataIdentity) -> bool:
        """Whether both train and validate on the same utterances."""
        return (self.training_utterances, self.validation_utterances) == (
            other.training_utterances,
            other.validation_utterances,
        )


@dataclass(frozen=True)
class RunIdentity:
    """The content of run.json."""

    config: Mapping[str, Any]
    """from `to_mapping`"""
    data: DataIdentity

    @classmethod
    def of(cls, config: TrainConfig, data: DataIdentity) -> RunIdentity:
        return cls(to_mapping(config), data)

    @classmethod
    def read(cls, path: Path) -> RunIdentity:
        """Read run.json. Raises DataError if it is not JSON, TrainingError for other content."""
        content = read_json(path)
        known = {field.name for field in fields(DataIdentity)}
        try:
            config, data = content["config"], content["data"]
            if not isinstance(config, dict) or not data.keys() <= known:
                raise TypeError
            return cls(config, DataIdentity(**data))
        except (AttributeError, KeyError, TypeError):
            raise TrainingError(
                f"{path}: does not describe a run: it should contain `config` and `data`, with "
                f"{', '.join(sorted(known))}"
            ) from None

    def write(self, path: Path) -> None:
        write_json(path, {"config": self.config, "data": asdict(self.data)})

    def check_same(self, other: RunIdentity, folder: Path, *, has_checkpoint: bool) -> None:
        """Raise TrainingError with a table of differences, if `other` cannot resume this run.

        If the run `has_checkpoint`, the message says how to resume from it with other settings.
        """
        differing = self._differences(other)
        if differing:
            resume = (
                ", where `checkpoint_path` can resume from that run's last checkpoint with these "
                "settings;"
            )
            raise TrainingError(
                f"{folder}: contains a run with other "
                f"settings\n{_table(('setting', 'that run', 'now'), differing)}\nchoose another "
                f"output{resume if has_checkpoint else ','} or rename that run with "
                "`force_restart`"
            )

    def _differences(self, other: RunIdentity) -> list[tuple[str, str, str]]:
        there, here = self._fixed(), other._fixed()
        keys = sorted(there.keys() | here.keys())
        return [
            (key, _shown(there, key), _shown(here, key))
            for key in keys
            if there.get(key) != here.get(key)
        ]

    def _fixed(self) -> dict[str, Any]:
        """Settings that must not change, by dotted keys."""
        flat = {
            key: value
            for key, value in flatten(self.config).items()
            if not key.startswith("tracking.") and key not in CHANGEABLE
        }
        if flat.get("schedule.decay") != "cosine":
            flat.pop("schedule.steps", None)  # at a constant or plateau's rate a run may be longer
        return flat | flatten({"data source": asdict(self.data)})


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return "" if key not in flat else "none" if flat[key] is None else str(flat[key])


def _table(head: tuple[str, str, str], lines: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *lines)) for column in range(3)]
    return "\n".join(
        "  "
        + "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *lines)
    )
