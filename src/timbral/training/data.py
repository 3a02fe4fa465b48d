"""The training and validation data of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from timbral.audio.preprocessing import Preprocessing
from timbral.checkpoints.checkpoint import Checkpoint
from timbral.data.augment.plan import Augmenter
from timbral.data.batches.batch import Batch
from timbral.data.batches.crops import crops_of
from timbral.data.batches.prefetch import prefetch
from timbral.data.batches.selection import describe_rows, split_speakers
from timbral.data.batches.source import BatchSource
from timbral.data.data_summary import summarize_data
from timbral.data.prepared.base import PreparedData
from timbral.data.prepared.open import open_prepared
from timbral.encoders.base import SpeakerEncoder
from timbral.io.types import Ints, Progress
from timbral.training.distributed import Ranks
from timbral.training.identity import DataIdentity
from timbral.training.old_voices import WatchedValidation, check_new_voices, open_old_voices
from timbral.training.teacher import TaughtBatches, TaughtCrops, Teacher
from timbral.training.train_job import TrainJob
from timbral.training.validation import Validation

__all__ = ["TrainingData"]


@dataclass(frozen=True)
class TrainingData:
    """Prepared data, its rows to train on, their batches, and the validation, if any."""

    data: PreparedData
    rows: Ints
    source: BatchSource[Batch]
    augmenter: Augmenter
    validation: Validation | None
    identity: DataIdentity
    too_short: int
    """utterances skipped because they are too short for the encoder"""
    batches_per_step: int
    summary: Mapping[str, Any]
    """speakers, utterances, hours and corpora of the rows, and the origin of the initial weights"""

    @classmethod
    def open(
        cls,
        job: TrainJob,
        encoder: SpeakerEncoder,
        precision: str,
        initial: Checkpoint | None,
        teacher: Teacher | None = None,
    ) -> TrainingData:
        """Open a job's data, without utterances that are too short for the encoder or its teacher.

        Raises DataError for unusable data, ConfigError for settings that do not fit the data.
        """
        data, rows, validation_data, validation_rows = _split(job, encoder)
        least = encoder.min_samples
        if teacher is not None:
            if job.config.data.teacher_input == "crops":
                teacher.check_crops(job.config.data, data)
            teacher.check(encoder, data)
            teacher.check(encoder, validation_data)
            least = max(least, teacher.min_samples)
        long = rows[data.samples[rows] >= least]
        is_long = validation_data.samples[validation_rows] >= least
        validation_long = validation_rows[is_long]
        seed = job.config.trainer.seed
        augmenter = Augmenter(job.config.augment, seed)
        return cls(
            data=data,
            rows=long,
            source=crops_of(data, long, job.config.data, seed, augmenter),
            augmenter=augmenter,
            validation=_validation(job, encoder, (data, long), (validation_data, validation_long)),
            identity=DataIdentity(
                training_utterances=describe_rows(data, long),
                validation_utterances=describe_rows(validation_data, validation_long),
                preprocessing=data.preprocessing.as_dict(),
                precision=precision,
                initial_weights=_weights_begun_from(job, initial),
                teacher=None if teacher is None else teacher.identity(),
            ),
            too_short=len(rows) - len(long) + len(validation_rows) - len(validation_long),
            batches_per_step=job.config.trainer.gradient_accumulation_steps,
            summary=summarize_data(data.table, data.samples, long) | _begun_from(initial),
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the recordings, which the encoder's later inputs also get."""
        return self.data.preprocessing

    def taught(
        self, teacher: Teacher, takes_crops: bool, ranks: Ranks, progress: Progress
    ) -> TrainingData:
        """The same data, with the teacher's vectors in batches and validation.

        Vectors of whole recordings come from the cache or are computed now; `progress` counts their
        files. Vectors of crops are computed with each batch.
        """
        source: BatchSource[Batch]
        if takes_crops:
            source = TaughtCrops(self.source, teacher.embedder)
        else:
            vectors = teacher.vectors(self.data, self.rows, ranks, progress)
            source = TaughtBatches(self.source, vectors)
        validation = self.validation
        if validation is not None and ranks.is_first:
            rows, unchanged = validation.rows, replace(teacher, speeds=(1.0,))
            vectors = unchanged.vectors(validation.data, rows, Ranks(), progress)
            validation = validation.with_teacher(vectors.of(rows))
        return replace(self, source=source, validation=validation)

    def batches(self, first_step: int, rows: slice) -> Iterator[Sequence[Batch]]:
        """These rows of the batches of each step from `first_step` on, prefetched by a thread."""
        single = prefetch(self.source.batches(first_step * self.batches_per_step, rows))
        while True:
            yield list(islice(single, self.batches_per_step))


def _validation(
    job: TrainJob,
    encoder: SpeakerEncoder,
    training: tuple[PreparedData, Ints],
    held_out: tuple[PreparedData, Ints],
) -> Validation | None:
    """Validation on the held-out rows, and on old voices, if any."""
    folders = job.options.keep_old
    if not folders:
        return Validation(*held_out) if len(held_out[1]) else None
    check_new_voices(*held_out)
    old = open_old_voices(folders, encoder, training, held_out)
    return WatchedValidation(*held_out, old)


def _weights_begun_from(job: TrainJob, initial: Checkpoint | None) -> str | None:
    """A hash of the initial weights, and whether their loss was kept."""
    if initial is None:
        return None
    loss = " with its loss" if job.options.keep_classifier else ""
    return f"{initial.weights_sha256[:16]}{loss}"


def _begun_from(initial: Checkpoint | None) -> dict[str, Any]:
    """The origin of the initial weights, for the model card."""
    if initial is None:
        return {}
    facts = {
        "name": initial.name or "another run",
        "license": initial.license,
        "weights_sha256": initial.weights_sha256,
    }
    source = str(initial.origin.get("source", ""))
    if source.startswith("Hub "):
        facts["hub"] = source.removeprefix("Hub ")
    return {"begun_from": facts}


def _split(job: TrainJob, encoder: SpeakerEncoder) -> tuple[PreparedData, Ints, PreparedData, Ints]:
    """Data and rows for training, then data and rows for validation."""
    options = job.options
    data = _open(job.data, encoder)
    if options.validation_data is None:
        rows, held_out = split_speakers(data, options.exclude_speakers, options.validation_speakers)
        return data, rows, data, held_out
    validation_data = _open(options.validation_data, encoder)
    rows, _ = split_speakers(data, options.exclude_speakers, "0")
    return data, rows, validation_data, np.arange(len(validation_data))


def _open(folder: Path, encoder: SpeakerEncoder) -> PreparedData:
    """Open prepared data; ConfigError if the encoder cannot use it, such as other mels."""
    data = open_prepared(folder)
    data.check_encoder(encoder)
    return data
