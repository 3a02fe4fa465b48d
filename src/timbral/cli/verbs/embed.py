"""The verb embed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    Encoder,
    Layout,
    Running,
    load_embedder,
    one_of,
    option,
    print_passed_over,
    report_failures,
)
from timbral.cli.corpus_argument import check_corpus, find_corpus
from timbral.cli.early_checks import check_files, check_folders
from timbral.cli.engine_options import DEFAULT_ENGINE, EngineChoice
from timbral.cli.wording import by_kind, count
from timbral.embeddings.formats.registry import FORMATS
from timbral.errors import ConfigError, check_choice
from timbral.io.durations import duration
from timbral.io.progress import corpus_bar

if TYPE_CHECKING:
    from timbral.bulk.embed import EmbedSummary

__all__ = ["run"]


@dataclass(frozen=True)
class InferenceSettings:
    """What PaddleSpeech's inference.py reads from its config."""

    config: Annotated[
        Path | None, option("FILE", "PaddleSpeech's YAML file, for its windows and RMS level")
    ] = None
    opts: Annotated[
        tuple[str, ...],
        option("KEY VALUE ...", "overrides for that file, such as data.partial_overlap_ratio 0.75"),
    ] = ()


DEFAULT_SETTINGS = InferenceSettings()
VectorFormat = Annotated[
    str,
    option(
        one_of(FORMATS), "parquet is one table, npy the format of PaddleSpeech, torch that of ddvc"
    ),
]
ReusedFolder = Annotated[
    str | None,
    option(
        "FOLDER",
        "output of an earlier embed of this encoder: only recordings that it has no vectors of "
        "are embedded, wherever they were",
    ),
]


def run(
    encoder: Encoder,
    corpus: Annotated[
        Positional[str],
        option(
            "CORPUS",
            "a folder, a recording, a list, a table (path, speaker), prepared data, a URL "
            "(s3://bucket/corpus, hf://user/dataset:split), or - for a list on standard input",
        ),
    ],
    *,
    output: Annotated[
        str | None, option("FOLDER", "folder or URL; a killed job resumes there")
    ] = None,
    beside_audio: Annotated[
        bool, option(None, "write a file (npy, torch) next to each recording, instead of --output")
    ] = False,
    layout: Layout = "auto",
    pattern: Annotated[
        str | None, option("PATTERN", "only recordings whose name matches, such as '*.wav'")
    ] = None,
    format: VectorFormat = "parquet",
    model_name: Annotated[
        str | None,
        option("NAME", "name used in the file names of torch; default: the encoder's name"),
    ] = None,
    reuse: ReusedFolder = None,
    engine: EngineChoice = DEFAULT_ENGINE,
    running: Running = DEFAULT_RUNNING,
    settings: Annotated[InferenceSettings, arg(name="")] = DEFAULT_SETTINGS,
) -> int:
    """Write vectors for every utterance and speaker of a corpus.

    example: timbral embed campplus-zh-en LibriTTS --layout libritts --output embeddings
    """
    target = _target(corpus, output, beside_audio, format)
    check_corpus(corpus, encoder)
    check_files(settings.config)
    check_folders(reuse)
    found = find_corpus(corpus, layout, pattern, mel_files=True)  # before torch is imported
    from timbral.compat.inference_settings import with_settings

    embedder = with_settings(load_embedder(encoder, running), settings.config, settings.opts)
    from timbral.bulk.embed import embed_corpus

    with corpus_bar("embedding") as progress:
        done = embed_corpus(
            embedder, found, corpus, target, format=format, model_name=model_name,
            reuse=reuse, engine=engine.engine_for(running), progress=progress,
        )  # fmt: skip
    return _print_summary(done, target)


def _target(corpus: str, output: str | None, beside_audio: bool, format: str) -> str:
    if (output is not None) == beside_audio:
        raise ConfigError("where should the vectors go? give either --output or --beside-audio")
    check_choice("--format", format, FORMATS)  # before the encoder is loaded
    if output is not None:
        return output
    if not FORMATS[format].mirrors_corpus:
        allowed = [name for name, other in FORMATS.items() if other.mirrors_corpus]
        raise ConfigError(
            f"--beside-audio writes a file for each recording, which --format {format} does not; "
            f"allowed: {', '.join(allowed)}"
        )
    return corpus


def _print_summary(done: EmbedSummary, target: str) -> int:
    print(
        f"{'all embedded already: ' if done.reused else ''}"
        f"{count(done.num_utterances, 'utterance')} of {count(done.num_speakers, 'speaker')} "
        f"({duration(done.audio_seconds)}) in {target}"
    )
    if done.moved_from:
        print(f"the corpus was at {done.moved_from}; the vectors of its recordings are kept")
    print_passed_over(done.passed_over)
    if done.num_risky:
        risky = count(done.num_risky, "recording")
        print(f"{risky} at risk ({by_kind(done.risk_counts)}); `timbral check` says why")
    if done.new_audio_seconds:
        print(f"{done.times_real_time:.0f} × real time")
    return report_failures(done.num_failures, target)
