"""The verb train."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from timbral.cli.shared import OK
from timbral.errors import ConfigError
from timbral.io.progress import bar, training_bar
from timbral.training.options import TrainOptions

if TYPE_CHECKING:
    from timbral.api import TrainJob, TrainReport
    from timbral.compat.translation import Recipe, Translation

__all__ = ["Sources", "train"]


@dataclass(frozen=True)
class Sources:
    """Where a run comes from and where it goes."""

    config_option: Annotated[Path | None, arg(name="config")] = None
    """the same as CONFIG"""
    data: Path | None = None
    """a folder made by `timbral prepare`; ddvc's file names its own"""
    output: Path | None = None
    """the run folder; ddvc's file names its own"""
    encoder: Annotated[str | None, arg(metavar="PATH.PY:CLASS")] = None
    """an encoder class of your own, instead of the config's encoder"""
    micro_batch_size: int | None = None
    """utterances that pass the encoder at once; short for --opts trainer.micro_batch_size"""
    opts: tuple[str, ...] = ()
    """pairs KEY VALUE that replace values of the config, such as schedule.steps 1000"""


NO_SOURCES, DEFAULT_OPTIONS = Sources(), TrainOptions()


def train(
    config: Annotated[Positional[Path | None], arg(metavar="CONFIG")] = None,
    sources: Annotated[Sources, arg(name="")] = NO_SOURCES,
    options: Annotated[TrainOptions, arg(name="")] = DEFAULT_OPTIONS,
) -> int:
    """Train an encoder; a folder that holds this run is resumed exactly.

    Args:
        config: such as configs/tdnn-ge2e-small.yaml, or ddvc's or PaddleSpeech's own file; without
            one, PaddleSpeech's defaults
    """
    if sources.encoder and options.workers > 1:
        raise ConfigError("--encoder with several processes: start them with torchrun")
    recipe = _recipe(config, sources)
    return _train(_job(recipe, sources, options.with_defaults(recipe.run.options)))


def _recipe(config: Path | None, sources: Sources) -> Recipe:
    """Read the config, and print how it is translated if it is ddvc's or PaddleSpeech's."""
    from timbral import api
    from timbral.compat.recipe import read_recipe
    from timbral.training.distributed import own_rank

    if config is not None and sources.config_option is not None:
        raise ConfigError("CONFIG and --config are the same; give one of them")
    own = ("encoder", api.register_encoder(sources.encoder)) if sources.encoder else ()
    recipe = read_recipe(config or sources.config_option, (*own, *sources.opts))
    if not own_rank():
        _show_translations(recipe.translations)
    if sources.micro_batch_size is None:
        return recipe
    trainer = replace(recipe.config.trainer, micro_batch_size=sources.micro_batch_size)
    return replace(recipe, config=replace(recipe.config, trainer=trainer))


def _job(recipe: Recipe, sources: Sources, options: TrainOptions) -> TrainJob:
    """What to do; audio that the recipe names is prepared first."""
    from timbral import api
    from timbral.compat import recordings

    run, output = recipe.run, sources.output or recipe.run.output
    if output is None:
        raise ConfigError("--output is needed: the folder of the run")
    if sources.data is not None:
        return api.TrainJob(recipe.config, sources.data, output, options, run.comet_key)
    if options.init is not None:
        api.resolve(options.init)  # before preparing, which may take hours and writes
    with bar("preparing") as advance:
        data, validation_data = recordings.prepare_audio(
            run, output, workers=os.cpu_count() or 1, progress=advance
        )
    if options.validation_data is None and options.validation_speakers == "auto":
        # ddvc validates on recordings of their own, or (its null) not at all
        speakers = "0" if validation_data is None else "auto"
        options = replace(options, validation_data=validation_data, validation_speakers=speakers)
    config = recordings.with_epochs(recipe, data)
    return api.TrainJob(config, data, output, options, run.comet_key)


def _train(job: TrainJob) -> int:
    """Train with progress on the terminal, of torchrun's processes on the first one's only."""
    from timbral import api
    from timbral.io.devices import tune_cpu
    from timbral.training.distributed import own_rank

    tune_cpu()
    if own_rank():
        api.run_training(job)
        return OK
    with training_bar(job.config.schedule.steps) as progress:
        report = api.run_training(job, progress)
    _print_report(report)
    return OK


def _show_translations(translations: Sequence[Translation]) -> None:
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


def _print_report(done: TrainReport) -> None:
    if done.previous_run:
        print(f"the earlier run was renamed to {done.previous_run}")
    if done.too_short:
        print(f"{done.too_short:,} utterances were too short for the encoder and left out")
    if done.unreadable_augmentation:
        count, first = len(done.unreadable_augmentation), done.unreadable_augmentation[0]
        print(f"{count:,} recordings for augmentation were skipped; the first: {first}")
    if done.resumed_from:
        print(f"resumed from step {done.resumed_from}")
    if done.validation_eer is not None:
        print(f"best validation EER {100 * done.validation_eer:.2f} %")
    if done.skipped:
        print(f"{done.skipped:,} steps were skipped: their loss or gradient was not finite")
    print(
        f"{done.step} steps in {done.seconds / 60:.1f} min, {done.bottleneck}-bound; "
        f"checkpoint {done.checkpoint}"
    )
