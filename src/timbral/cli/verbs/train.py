"""The verb train."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from timbral.cli.common_options import OK, option, options_of
from timbral.cli.early_checks import check_config, check_files, check_folders
from timbral.cli.standard_streams import text_input
from timbral.cli.wording import count
from timbral.errors import ConfigError
from timbral.io.cores import usable_cores
from timbral.io.progress import bar, training_bar
from timbral.training.train_options import TrainOptions

if TYPE_CHECKING:
    from timbral.api import TrainJob, TrainSummary
    from timbral.compat.translation import Recipe, Translation

__all__ = ["Sources", "run"]


@dataclass(frozen=True)
class Sources:
    """Where a run comes from and where it goes."""

    data: Annotated[
        Path | None,
        option("FOLDER", "prepared data from `timbral prepare`; a ddvc config names its own"),
    ] = None
    output: Annotated[
        Path | None, option("FOLDER", "the run folder; a ddvc config names its own")
    ] = None
    encoder: Annotated[
        str | None, option("FILE.py:CLASS", "your own encoder, instead of the config's")
    ] = None
    loss: Annotated[
        str | None, option("FILE.py:CLASS", "your own loss, instead of the config's")
    ] = None
    micro_batch_size: Annotated[
        int | None,
        option(
            "N",
            "utterances that pass through the encoder at once, for large batches in little memory",
        ),
    ] = None
    opts: Annotated[
        tuple[str, ...],
        option("KEY VALUE ...", "override values of the config, as in: schedule.steps 1000"),
    ] = ()


METAVARS = {
    "exclude_speakers": "FILE",
    "validation_speakers": "FILE|N",
    "validation_data": "FOLDER",
    "device": "DEVICE",
    "workers": "N",
    "init": "ENCODER",
    "keep_classifier": None,
    "keep_old": "FOLDER ...",
    "teacher": "ENCODER",
    "checkpoint_path": "CHECKPOINT",
    "force_restart": None,
    "trackers": "NAME ...",
    "project": "NAME",
}
Options = Annotated[
    TrainOptions, arg(name="", constructor_factory=lambda: options_of(TrainOptions, METAVARS))
]
NO_SOURCES, DEFAULT_OPTIONS = Sources(), TrainOptions()


def run(
    config: Annotated[
        Positional[Path | None],
        option(
            "[CONFIG]",
            "a name from `timbral configs`, or a YAML file (also of ddvc and PaddleSpeech); "
            "default: PaddleSpeech's defaults",
        ),
    ] = None,
    sources: Annotated[Sources, arg(name="")] = NO_SOURCES,
    options: Options = DEFAULT_OPTIONS,
) -> int:
    """Train an encoder; the same command resumes a stopped run.

    example: timbral train tdnn-ge2e-small --data data --output runs/tdnn
    """
    _check_arguments(config, sources, options)
    if (sources.encoder or sources.loss) and options.workers > 1:
        raise ConfigError(
            "with your own encoder or loss, several processes must be started with torchrun"
        )
    recipe = _recipe(config, sources)
    options = options.with_defaults(recipe.run.options)
    with ExitStack() as files:
        excluded, validation = options.exclude_speakers, Path(options.validation_speakers)
        options = replace(
            options,
            exclude_speakers=excluded and files.enter_context(text_input(excluded)),
            validation_speakers=str(files.enter_context(text_input(validation))),
        )
        return _train(_job(recipe, sources, options))


def _check_checkpoint(checkpoint: Path | None) -> None:
    """Raise ConfigError for the name of an encoder in place of a checkpoint."""
    from timbral.checkpoints.known_names import PUBLISHED_NAMES

    if checkpoint is not None and str(checkpoint) in PUBLISHED_NAMES and not checkpoint.exists():
        raise ConfigError(
            f"`checkpoint_path` resumes a training from its checkpoint, and {checkpoint} is the "
            "name of an encoder; `init` begins a new training with the weights of one"
        )


def _check_arguments(config: Path | None, sources: Sources, options: TrainOptions) -> None:
    """Check names and paths before torch is imported."""
    from timbral.checkpoints.known_names import refuse_unknown
    from timbral.training.trackers.registry import check_trackers

    check_config(config)
    _check_checkpoint(options.checkpoint_path)
    check_folders(sources.data, options.validation_data, options.checkpoint_path, *options.keep_old)
    validation = options.validation_speakers
    number = validation == "auto" or validation.isdecimal()
    check_files(options.exclude_speakers, None if number else validation)
    check_trackers(options.trackers)
    for encoder in (options.init, options.teacher):
        if encoder is not None:
            refuse_unknown(encoder)


def _recipe(config: Path | None, sources: Sources) -> Recipe:
    """Read the config, and print how it is translated if it is ddvc's or PaddleSpeech's."""
    from timbral import api
    from timbral.compat.recipe import read_recipe
    from timbral.config.named import find_config
    from timbral.training.distributed import own_rank

    own = [("encoder", api.register_encoder(sources.encoder))] if sources.encoder else []
    own += [("loss", api.register_loss(sources.loss))] if sources.loss else []
    path = None if config is None else find_config(config)
    recipe = read_recipe(path, (*itertools.chain(*own), *sources.opts))
    if not own_rank():
        _print_translations(recipe.translations)
    if sources.micro_batch_size is None:
        return recipe
    trainer = replace(recipe.config.trainer, micro_batch_size=sources.micro_batch_size)
    return replace(recipe, config=replace(recipe.config, trainer=trainer))


def _job(recipe: Recipe, sources: Sources, options: TrainOptions) -> TrainJob:
    """The training job; audio that the recipe names is prepared first."""
    from timbral import api
    from timbral.compat import ddvc_stores

    run, output = recipe.run, sources.output or recipe.run.output
    if output is None:
        raise ConfigError("--output is needed: the folder of the run")
    if sources.data is not None:
        return api.TrainJob(recipe.config, sources.data, output, options, run.comet_key)
    if options.init is not None:
        api.resolve(options.init)  # before preparing, which may take hours and writes
    with bar("preparing") as advance:
        data, validation_data = ddvc_stores.prepare_audio(
            run, output, workers=usable_cores(), progress=advance
        )
    if options.validation_data is None and options.validation_speakers == "auto":
        # ddvc validates on separate recordings, or not at all (if its config has null for them)
        no_validation = validation_data is None and not options.keep_old
        speakers = "0" if no_validation else "auto"
        options = replace(options, validation_data=validation_data, validation_speakers=speakers)
    config = ddvc_stores.with_epochs(recipe, data)
    return api.TrainJob(config, data, output, options, run.comet_key)


def _train(job: TrainJob) -> int:
    """Train; only the first of torchrun's processes shows progress and the summary."""
    from timbral import api
    from timbral.io.devices import tune_cpu
    from timbral.training.distributed import own_rank

    tune_cpu()
    if own_rank():
        api.run_training(job)
        return OK
    with training_bar(job.config.schedule.steps) as progress:
        summary = api.run_training(job, progress)
    _print_summary(summary)
    return OK


def _print_translations(translations: Sequence[Translation]) -> None:
    """Print what each key of ddvc's or PaddleSpeech's config is in timbral."""
    if not translations:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("key", "value", "in timbral"):
        table.add_column(name, overflow="fold")
    for line in translations:
        table.add_row(line.key, escape(line.value), escape(line.mapped_to))
    Console().print(table)


def _print_summary(done: TrainSummary) -> None:
    if done.previous_run:
        print(f"the earlier run was renamed to {done.previous_run}")
    if done.num_too_short:
        print(f"{count(done.num_too_short, 'utterance')} left out: too short for the encoder")
    if done.unreadable_augmentation:
        files = done.unreadable_augmentation
        what = count(len(files), "recording")
        print(f"{what} for augmentation could not be read; the first: {files[0]}")
    if done.resumed_from:
        print(f"resumed from step {done.resumed_from}")
    if done.validation_eer is not None:
        print(f"best validation EER {100 * done.validation_eer:.2f} %")
    if done.num_skipped_steps:
        print(
            f"{count(done.num_skipped_steps, 'step')} skipped: the loss or gradient was not finite"
        )
    print(
        f"{count(done.step, 'step')} in {done.seconds / 60:.1f} min, {done.bottleneck}-bound; "
        f"checkpoint {done.checkpoint}"
    )
    if (choice := done.share_choice) is not None:
        print(
            f"averaged: {choice.chosen.trained_share:g} of the trained weights, the rest of "
            f"{choice.start}: {choice.reason}"
        )
        print("EER of the start -> now [95 % interval of the change in points, over speakers]:")
        print(choice.line)
