"""Verbs over an encoder: train, evaluate, verify, models, pull, demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from timbral.cli.shared import OK, Device, Encoder, count_failures
from timbral.errors import ConfigError
from timbral.progress import bar, training_bar

if TYPE_CHECKING:
    from timbral.api import TrainReport
    from timbral.systems import Meaning, Recipe

__all__ = ["demo", "evaluate", "models", "pull", "train", "verify"]


def train(
    config: Annotated[Positional[Path | None], arg(metavar="CONFIG")] = None,
    *,
    config_option: Annotated[Path | None, arg(name="config")] = None,
    data: Path | None = None,
    output: Path | None = None,
    exclude_speakers: Path | None = None,
    validation_speakers: str = "auto",
    validation_data: Path | None = None,
    device: Annotated[str | None, arg(metavar="DEVICE")] = None,
    tracker: str = "",
    project: str = "",
    force_restart: bool = False,
    opts: tuple[str, ...] = (),
) -> int:
    """Train an encoder; a folder that holds this run is continued exactly.

    Args:
        config: such as configs/tdnn-ge2e-small.yaml, or system A's or B's own file; without one,
            system B's defaults
        config_option: the same as CONFIG
        data: a folder made by `timbral prepare`; system A's file names its own
        output: the run folder; system A's file names its own
        exclude_speakers: file of speaker ids, one a line, that are never read
        validation_speakers: a file of speakers, or how many, to judge checkpoints on; auto is a
            tenth of the speakers, 20 at most
        validation_data: another folder made by `timbral prepare`, to judge checkpoints on
        device: auto (or best), cpu, cuda (or gpu) or cuda:N; default auto
        tracker: comet,mlflow,tensorboard,visualdl,wandb: any of them besides metrics.jsonl
        project: the run's project in its trackers; default timbral
        force_restart: move a run that is there aside (OUTPUT.1) and begin anew
        opts: pairs KEY VALUE that replace values of the config, such as schedule.steps 1000
    """
    recipe = _recipe(config, config_option, opts)
    return _train(
        recipe,
        data,
        output or recipe.run.output,
        exclude_speakers=exclude_speakers,
        validation_speakers=validation_speakers,
        validation_data=validation_data,
        device=device or recipe.run.device,
        trackers=[name for name in tracker.split(",") if name] or recipe.run.trackers,
        project=project or recipe.run.project or "timbral",
        force_restart=force_restart or recipe.run.force_restart,
    )


def _recipe(config: Path | None, config_option: Path | None, opts: Sequence[str]) -> Recipe:
    """Read the config, and print what each key became if it is another system's."""
    from timbral.systems import read_recipe

    if config is not None and config_option is not None:
        raise ConfigError("CONFIG and --config are the same; give one of them")
    recipe = read_recipe(config or config_option, opts)
    _show_meanings(recipe.meanings)
    return recipe


def _train(recipe: Recipe, data: Path | None, output: Path | None, **options: Any) -> int:
    """Train with progress on the terminal; audio that the recipe names is prepared first."""
    from timbral import api, systems

    if output is None:
        raise ConfigError("--output is needed: the folder of the run")
    config, run = recipe.config, recipe.run
    if data is None:
        with bar("preparing") as advance:
            workers = os.cpu_count() or 1
            data, judged = systems.prepare_audio(run, output, workers=workers, progress=advance)
        config = systems.with_epochs(recipe, data)
        options["validation_data"] = options["validation_data"] or judged
        if options["validation_data"] is None and options["validation_speakers"] == "auto":
            options["validation_speakers"] = "0"  # system A's null
    with training_bar(config.schedule.steps) as report:
        done = api.train(
            config,
            data,
            output,
            comet_key=run.comet_key,
            init=run.init,
            report=report,
            **options,
        )
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
    print(f"{done.step} steps in {done.seconds / 60:.1f} min; checkpoint {done.checkpoint}")


def evaluate(
    encoder: Encoder,
    trials: Annotated[Positional[Path], arg(metavar="TRIALS")],
    *,
    root: Path = Path(),
    output: Path | None = None,
    device: Device = "auto",
) -> int:
    """Error rates of an encoder on a list of trials.

    Args:
        trials: lines `label path path`; label 1 is the same speaker, 0 another
        root: the folder that the paths start from
        output: folder for evaluation.json and scores.txt; default evaluation/TRIALS below a run
            folder, or below this folder for a name
    """
    from timbral import api

    embedder = api.load(encoder, device=device)
    target = output or _home(Path(encoder)) / "evaluation" / trials.stem
    with bar("embedding") as advance:
        result = api.evaluate(embedder, trials, root, target, advance)
    code = count_failures(result.failures, target)
    print(f"scores: {target / 'scores.txt'}")
    print(result.line)
    return code


def _home(encoder: Path) -> Path:
    """The run folder of an encoder; for a name this folder."""
    if not encoder.is_dir():
        return Path()
    return encoder.parent.parent if encoder.parent.name == "checkpoints" else encoder


def verify(
    encoder: Encoder,
    first: Annotated[Positional[Path], arg(metavar="FIRST")],
    second: Annotated[Positional[Path], arg(metavar="SECOND")],
    *,
    threshold: float | None = None,
    device: Device = "auto",
) -> int:
    """Are two recordings of one speaker?

    Args:
        first: a recording
        second: another one
        threshold: cosine from which the answer is yes; default the run's own, where misses and
            false alarms were equally frequent on its validation speakers
    """
    from timbral import api

    embedder = api.load(encoder, device=device)
    cosine = embedder.similarity(first, second)
    own = api.validation_threshold(encoder)
    limit = own if threshold is None else threshold
    print(f"cosine {cosine:.3f}")
    if limit is None:
        print("no threshold is known for this encoder (no validation); give one with --threshold")
    else:
        verdict = "same speaker" if cosine >= limit else "different speakers"
        print(f"{verdict} (threshold {limit:.3f})")
    return OK


def models() -> int:
    """The encoders that can be trained, and the published weights that can be pulled."""
    from timbral import api

    for row in api.models():
        sizes = f"E {row.embedding_dim}, {row.parameters / 1e6:.2f} M parameters"
        print(f"{row.name:<15}{sizes}, {row.sample_rate // 1000} kHz: {row.about}")
        licence = f", {row.licence}" if row.licence else ""
        how = "" if row.here else f"; get it: timbral pull {row.name}"
        print(f"{'':<15}weights: {row.weights}{licence}{how}")
    return OK


def pull(names: Annotated[Positional[tuple[str, ...]], arg(metavar="NAME")]) -> int:
    """Fetch published weights into the cache folder.

    Args:
        names: names of `timbral models`
    """
    from timbral import api

    for name in names:
        print(f"{name}: {api.pull(name)}")
    return OK


def demo(*, output: Path = Path("demo-run")) -> int:
    """The whole job in five minutes on voices that come with timbral.

    Args:
        output: folder for everything that is made
    """
    from timbral.demo import run_demo

    return run_demo(output)
