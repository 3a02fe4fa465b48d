"""The command line: one function per verb, shown by ``timbral --help``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional, arg

from timbral.errors import ConfigError, TimbralError
from timbral.progress import bar, training_bar
from timbral.version import __version__

__all__ = ["main"]

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

Encoder = Annotated[Positional[Path], arg(metavar="ENCODER", help="a run or checkpoint folder")]
Device = Annotated[str, arg(metavar="DEVICE", help="auto, cpu, cuda or cuda:N")]


def prepare(
    *,
    output_dir: Path,
    folder: Path | None = None,
    kaldi: Path | None = None,
    trim: Literal["none", "energy", "system-a", "system-b"] = "none",
    loudness: str = "-30",
    workers: int = os.cpu_count() or 1,
) -> int:
    """Turn a corpus into data that training reads without waiting.

    Args:
        output_dir: where the prepared data goes; a killed run is continued there
        folder: a corpus of the layout SPEAKER/[SESSION/]UTTERANCE.wav
        kaldi: a Kaldi data directory (wav.scp, utt2spk)
        trim: how silence is cut; system-b needs the extra [vad]
        loudness: raise quieter recordings to this level in dBFS, or none
        workers: processes
    """
    from timbral.audio import Preprocessing
    from timbral.data.corpora import scan_corpus
    from timbral.data.prepare import prepare as write_store

    sources = {"folder": folder, "kaldi": kaldi}
    given = [(layout, root) for layout, root in sources.items() if root is not None]
    if len(given) != 1:
        raise ConfigError(f"one of --folder and --kaldi is needed, got {len(given)} of them")
    preprocessing = Preprocessing(trim, _decibels(loudness))
    layout, root = given[0]
    with bar("preparing") as advance:
        report = write_store(
            scan_corpus(layout, root),
            output_dir,
            preprocessing,
            workers=_at_least_one("--workers", workers),
            progress=advance,
        )
    state = "was complete already" if report.reused else "prepared"
    print(
        f"{state}: {report.utterances:,} utterances of {report.speakers:,} speakers, "
        f"{report.hours:.2f} h, in {output_dir}"
    )
    return _count_failures(report.failures, output_dir)


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
    if done.moved_aside:
        print(f"the earlier run lies in {done.moved_aside} now")
    if done.resumed_from:
        print(f"continued from step {done.resumed_from}")
    if done.validation_eer is not None:
        print(f"best validation EER {100 * done.validation_eer:.2f} %")
    print(f"{done.step} steps in {done.seconds / 60:.1f} min; checkpoint {done.checkpoint}")
    return OK


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
        output: folder for evaluation.json and scores.txt; default ENCODER/evaluation/TRIALS
    """
    from timbral import api

    embedder = api.load(encoder, device=device)
    target = output or encoder / "evaluation" / trials.stem
    with bar("embedding") as advance:
        result = api.evaluate(embedder, trials, root, target, advance)
    code = _count_failures(result.failures, target)
    print(f"scores: {target / 'scores.txt'}")
    print(result.line)
    return code


def embed(
    encoder: Encoder,
    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")],
    *,
    output: Path,
    layout: Literal["folder", "kaldi", "librispeech", "libritts", "vctk"] = "folder",
    format: Literal["parquet", "npy", "torch"] = "parquet",
    model_name: str | None = None,
    device: Device = "auto",
) -> int:
    """Vectors of every utterance and every speaker of a corpus.

    Args:
        corpus: the corpus's folder
        output: where the vectors go; a killed job is continued there
        layout: how the corpus lies in its folder
        format: parquet (one table), npy (system B's tree) or torch (system A's files)
        model_name: the name in system A's file names; default the encoder's
    """
    from timbral import api

    embedder = api.load(encoder, device=device)
    with bar("embedding") as advance:
        report = api.embed(
            embedder,
            corpus,
            output,
            layout=layout,
            format=format,
            model_name=model_name,
            progress=lambda done, total, seconds: advance(done, total),
        )
    print(
        f"{report.utterances:,} utterances of {report.speakers:,} speakers "
        f"({report.audio_seconds / 3600:.2f} h) in {output}"
    )
    if report.new_audio_seconds:
        print(f"{report.realtime:.0f} seconds of audio per second")
    return _count_failures(report.failures, output)


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


def map_voices(
    embeddings: Annotated[Positional[Path], arg(metavar="EMBEDDINGS")], *, output: Path
) -> int:
    """Draw the voices of an `embed` folder: click a point, hear the utterance.

    Args:
        embeddings: a folder made by `timbral embed`
        output: the page, such as map.html; a picture (.png) is put beside it
    """
    from timbral import api

    if output.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--output should name a page, such as map.html; got {output}")
    with bar("drawing") as advance:
        picture, page = api.draw_map(embeddings, output, advance)
    print(f"{page.points:,} points, {page.clips:,} with sound: {output}, {picture}")
    return _count_failures(len(page.unreadable), None)


def demo(*, output: Path = Path("demo-run")) -> int:
    """The whole job in five minutes on voices that come with timbral.

    Args:
        output: folder for everything that is made
    """
    from timbral.demo import run_demo

    return run_demo(output)


VERBS: dict[str, Callable[..., int]] = {
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "embed": embed,
    "verify": verify,
    "map": map_voices,
    "demo": demo,
}


def main() -> None:
    """Entry point: exit code 0 done, 1 some recordings failed, 2 a mistake, 130 interrupted."""
    if sys.argv[1:] == ["--version"]:
        print(f"timbral {__version__}")
        sys.exit(OK)
    try:
        code: Any = tyro.extras.subcommand_cli_from_dict(
            VERBS, prog="timbral", description="Train, judge and run speaker encoders."
        )
    except (TimbralError, OSError) as error:  # OSError: full disk, no permission
        print(f"error: {error}", file=sys.stderr)
        code = USAGE
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _decibels(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--loudness is a level in dBFS or none, got {text!r}") from None


def _at_least_one(flag: str, value: int) -> int:
    if value < 1:
        raise ConfigError(f"{flag} must be 1 or more, got {value}")
    return value


def _count_failures(failures: int, folder: Path | None) -> int:
    if not failures:
        return OK
    where = f"; reasons: {folder / 'failures.jsonl'}" if folder else ""
    print(f"{failures:,} recordings could not be used{where}", file=sys.stderr)
    return SOME_FAILED
