"""Verbs over an encoder: train, evaluate, verify, models, pull, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from timbral.cli.shared import OK, Device, Encoder, count_failures
from timbral.progress import bar, training_bar

if TYPE_CHECKING:
    from timbral.api import TrainReport

__all__ = ["demo", "evaluate", "models", "pull", "train", "verify"]


def train(
    config: Annotated[Positional[Path], arg(metavar="CONFIG")],
    *,
    data: Path,
    output: Path,
    exclude_speakers: Path | None = None,
    validation_speakers: str = "auto",
    device: Device = "auto",
    tracker: str = "",
    force_restart: bool = False,
    opts: tuple[str, ...] = (),
) -> int:
    """Train an encoder; a folder that holds this run is continued exactly.

    Args:
        config: a YAML file such as configs/tdnn-ge2e-small.yaml
        data: a folder made by `timbral prepare`
        output: the run folder: checkpoints, metrics.jsonl, config.yaml
        exclude_speakers: file of speaker ids, one a line, that are never read
        validation_speakers: a file of speakers, or how many, to judge checkpoints on; auto is a
            tenth of the speakers, 20 at most
        tracker: besides metrics.jsonl: tensorboard
        force_restart: move a run that is there aside (OUTPUT.1) and begin anew
        opts: pairs KEY VALUE that replace values of the config, such as schedule.steps 1000
    """
    from timbral import api
    from timbral.config import load_config

    resolved = load_config(config, opts)
    with training_bar(resolved.schedule.steps) as report:
        done = api.train(
            resolved,
            data,
            output,
            exclude_speakers=exclude_speakers,
            validation_speakers=validation_speakers,
            device=device,
            trackers=[name for name in tracker.split(",") if name],
            force_restart=force_restart,
            report=report,
        )
    _tell(done)
    return OK


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
