"""The verb train."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from timbral.cli.shared import OK
from timbral.errors import ConfigError
from timbral.io.progress import bar, training_bar

if TYPE_CHECKING:
    from timbral.api import TrainReport
    from timbral.compat.translation import Meaning, Recipe

__all__ = ["TrainOptions", "train"]


@dataclass(frozen=True)
class TrainOptions:
    """What a run is made of besides its config."""

    config_option: Annotated[Path | None, arg(name="config")] = None
    """the same as CONFIG"""
    data: Path | None = None
    """a folder made by `timbral prepare`; ddvc's file names its own"""
    output: Path | None = None
    """the run folder; ddvc's file names its own"""
    exclude_speakers: Path | None = None
    """file of speaker ids, one a line, that are never read"""
    validation_speakers: str = "auto"
    """a file of speakers, or how many, to judge checkpoints on; auto is a tenth of the speakers,
    20 at most"""
    validation_data: Path | None = None
    """another folder made by `timbral prepare`, to judge checkpoints on"""
    encoder: Annotated[str | None, arg(metavar="PATH.PY:CLASS")] = None
    """an encoder class of your own, instead of the config's encoder"""
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    """auto (or best), cpu, cuda (or gpu) or cuda:N; default auto"""
    nprocs: int = 1
    """local processes that share each batch, to the same result"""
    micro_batch_size: int | None = None
    """utterances that pass the encoder at once; short for --opts trainer.micro_batch_size"""
    init: str | None = None
    """an ENCODER (name, run or checkpoint folder) whose weights to begin with"""
    checkpoint_path: Path | None = None
    """a checkpoint to go on from, step and optimizer included, maybe with other data, whatever
    OUTPUT holds"""
    force_restart: bool = False
    """move a run that is there aside (OUTPUT.1) and begin anew"""
    tracker: str = ""
    """comet,mlflow,tensorboard,visualdl,wandb: any of them besides metrics.jsonl"""
    project: str = ""
    """the run's project in its trackers; default timbral"""
    opts: tuple[str, ...] = ()
    """pairs KEY VALUE that replace values of the config, such as schedule.steps 1000"""


AS_IN_CONFIG = TrainOptions()


def train(
    config: Annotated[Positional[Path | None], arg(metavar="CONFIG")] = None,
    options: Annotated[TrainOptions, arg(name="")] = AS_IN_CONFIG,
) -> int:
    """Train an encoder; a folder that holds this run is continued exactly.

    Args:
        config: such as configs/tdnn-ge2e-small.yaml, or ddvc's or B's own file; without one,
            PaddleSpeech's defaults
    """
    recipe = _recipe(config, options)
    run = recipe.run
    return _train(
        recipe,
        options.data,
        options.output or run.output,
        exclude_speakers=options.exclude_speakers,
        validation_speakers=options.validation_speakers,
        validation_data=options.validation_data,
        device=options.device or run.device,
        trackers=[name for name in options.tracker.split(",") if name] or run.trackers,
        project=options.project or run.project or "timbral",
        force_restart=options.force_restart or run.force_restart,
        nprocs=options.nprocs,
        checkpoint_path=options.checkpoint_path,
        init=options.init or run.init,
    )


def _recipe(config: Path | None, options: TrainOptions) -> Recipe:
    """Read the config, and print what each key became if it is another system's."""
    from timbral import api
    from timbral.compat.recipe import read_recipe
    from timbral.training.distributed import own_rank

    if config is not None and options.config_option is not None:
        raise ConfigError("CONFIG and --config are the same; give one of them")
    if options.encoder and options.nprocs > 1:
        raise ConfigError("--encoder with several processes: start them with torchrun")
    own = ("encoder", api.register_encoder(options.encoder)) if options.encoder else ()
    recipe = read_recipe(config or options.config_option, (*own, *options.opts))
    if not own_rank():
        _show_meanings(recipe.meanings)
    if options.micro_batch_size is None:
        return recipe
    trainer = replace(recipe.config.trainer, micro_batch_size=options.micro_batch_size)
    return replace(recipe, config=replace(recipe.config, trainer=trainer))


def _train(recipe: Recipe, data: Path | None, output: Path | None, **options: Any) -> int:
    """Train with progress on the terminal, of torchrun's processes on the first one's only.

    Audio that the recipe names is prepared first.
    """
    from timbral import api
    from timbral.compat import recordings
    from timbral.training.distributed import own_rank

    if output is None:
        raise ConfigError("--output is needed: the folder of the run")
    config = recipe.config
    if data is None:
        with bar("preparing") as advance:
            workers = os.cpu_count() or 1
            data, judged = recordings.prepare_audio(
                recipe.run, output, workers=workers, progress=advance
            )
        config = recordings.with_epochs(recipe, data)
        options["validation_data"] = options["validation_data"] or judged
        if options["validation_data"] is None and options["validation_speakers"] == "auto":
            options["validation_speakers"] = "0"  # ddvc's null
    options["comet_key"] = recipe.run.comet_key
    if own_rank():
        api.train(config, data, output, **options)
        return OK
    with training_bar(config.schedule.steps) as report:
        done = api.train(config, data, output, report=report, **options)
    _tell(done)
    return OK


def _show_meanings(meanings: Sequence[Meaning]) -> None:
    """Print what each key of another system's config became."""
    if not meanings:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("key", "value", "here"):
        table.add_column(name, overflow="fold")
    for line in meanings:
        table.add_row(line.key, escape(line.value), escape(line.became))
    Console().print(table)


def _tell(done: TrainReport) -> None:
    if done.moved_aside:
        print(f"the earlier run lies in {done.moved_aside} now")
    if done.too_short:
        print(f"{done.too_short:,} utterances were too short for the encoder and left out")
    if done.unreadable_sounds:
        count, first = len(done.unreadable_sounds), done.unreadable_sounds[0]
        print(f"{count:,} recordings for augmentation were passed over; the first: {first}")
    if done.resumed_from:
        print(f"continued from step {done.resumed_from}")
    if done.validation_eer is not None:
        print(f"best validation EER {100 * done.validation_eer:.2f} %")
    if done.skipped:
        print(f"{done.skipped:,} steps were skipped: their loss or gradient was not finite")
    print(
        f"{done.step} steps in {done.seconds / 60:.1f} min, bound by {done.bound_by}; "
        f"checkpoint {done.checkpoint}"
    )
