"""Options, exit codes and messages that several verbs share."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_type_hints

from tyro.conf import Positional, arg

from timbral.cli.early_checks import check_folders
from timbral.cli.encoder_downloads import download_missing, refuse_unreachable
from timbral.cli.log_lines import log_shown
from timbral.cli.quick_loading import without_collection
from timbral.cli.wording import count

if TYPE_CHECKING:
    from timbral.inference.embedder import Embedder

__all__ = [
    "DEFAULT_RUNNING",
    "OK",
    "SOME_FAILED",
    "ChannelOption",
    "DrawsOption",
    "Embeddings",
    "Encoder",
    "Layout",
    "PriorsOption",
    "Running",
    "RunningOptions",
    "SpeakersOption",
    "load_embedder",
    "one_of",
    "option",
    "options_of",
    "print_passed_over",
    "report_failures",
    "with_channel",
]

OK, SOME_FAILED = 0, 1


def option(metavar: str | None, help: str) -> object:
    """Settings of an option for tyro; its default is shown in the help unless it is empty.

    Args:
        metavar: the placeholder of the value; None for choices, whose values tyro lists, and for
            switches
        help: one line for ``--help``
    """
    return arg(metavar=metavar, help=help, help_behavior_hint=_default)


def one_of(registry: Iterable[str]) -> str:
    """The metavar of an option whose value is a name in a registry; the library checks the
    value.
    """
    return "{" + ",".join(registry) + "}"


def _default(label: str) -> str:
    return "" if label in ("", "''", "None", "False") else f"(default: {label})"


def options_of(cls: type, metavars: dict[str, str | None]) -> type:
    """Turn a dataclass of the library into options: the docstrings of its fields become the help.

    The result is a subclass of `cls`, so each setting is declared only once, and the library gets
    an instance of its own type.

    Args:
        cls: the dataclass
        metavars: for each field, the placeholder of its value, as in `option`
    """
    docs = _field_docs(cls)
    hints = get_type_hints(cls)
    options = [
        (item.name, Annotated[hints[item.name], option(metavars[item.name], docs[item.name])], item)
        for item in dataclasses.fields(cls)
    ]
    return dataclasses.make_dataclass(cls.__name__, options, bases=(cls,), frozen=True)


def _field_docs(cls: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, in one line."""
    statements = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
    return {
        ast.unparse(field.target): " ".join(ast.literal_eval(text.value).split())
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


Encoder = Annotated[
    Positional[str],
    option(
        "ENCODER",
        "a name from `timbral models` (campplus-int8 ships with timbral), a run folder, a "
        "checkpoint, weights of another project, USER/REPO[@REVISION] on the Hugging Face "
        "Hub, or a model from `timbral export`",
    ),
]
PriorsOption = Annotated[tuple[float, ...], option("P …", "priors of target trials for minDCF")]
SpeakersOption = Annotated[
    Path | None,
    option(
        "FILE",
        "lines `recording speaker`, for the intervals; default: LIST.utt2spk next to the "
        "list, else the speakers of the vectors, else a guess from the target trials",
    ),
]
DrawsOption = Annotated[
    int, option("N", "bootstrap draws of speakers for the intervals; 0: no intervals")
]
Embeddings = Annotated[
    Positional[Path], option("EMBEDDINGS", "a folder written by `timbral embed`")
]
Layout = Annotated[
    str,
    option(
        "LAYOUT",
        "layout of the corpus on disk: folder (SPEAKER/[SESSION/]UTTERANCE.wav), tree (any "
        "depth), kaldi, lhotse, a name from `timbral corpora`, or your own FILE.py:NAME; auto "
        "detects it",
    ),
]


ChannelOption = Annotated[
    Literal["1", "2", "mix"],
    option(
        None,
        "for stereo recordings such as calls: which channel to use, or the mean of all; mono "
        "recordings are used as they are",
    ),
]


def with_channel(path: str, channel: str) -> str:
    """The path of a recording, with the channel chosen by `ChannelOption` added to it."""
    if channel == "mix":
        return path
    from timbral.audio.call_side import side_of_call  # imports numpy

    return side_of_call(path, int(channel))


@dataclass(frozen=True)
class RunningOptions:
    """How an encoder is found and run."""

    device: Annotated[str, option("DEVICE", "auto, cpu, cuda or cuda:N")] = "auto"
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "int8"],
        option(
            None,
            "bf16 is faster on hardware that supports it, tf32 on CUDA; cosine to fp32 at least "
            "0.999; int8: CAM++ and ECAPA-TDNN on CPUs with VNNI, two to three times as fast, "
            "cosine 0.997",
        ),
    ] = "fp32"
    compile: Annotated[
        bool, option(None, "compile the encoder with torch.compile; the first call takes minutes")
    ] = False
    weights_dir: Annotated[
        Path | None,
        option("FOLDER", "a local copy of the weights named by ENCODER, instead of a download"),
    ] = None
    encoder_class: Annotated[
        str | None,
        option("FILE.py:CLASS", "the class of the encoder, if it is your own"),
    ] = None


Running = Annotated[RunningOptions, arg(name="")]
DEFAULT_RUNNING = RunningOptions()


@without_collection()
def load_embedder(
    encoder: str, running: RunningOptions, *, torch_threads: int | None = None
) -> Embedder:
    """Load the encoder that a command line names, and tune this process for it.

    Check all other arguments first: this imports torch, which takes seconds, unless the encoder is
    an exported model.

    Args:
        encoder: the word ENCODER
        running: device, precision, and where the weights and the class are
        torch_threads: number of threads that torch computes with; None: torch's default
    """
    from timbral.checkpoints.known_names import refuse_unknown

    refuse_unknown(encoder)
    refuse_unreachable(encoder)
    check_folders(running.weights_dir)
    from timbral import api
    from timbral.inference.exported_model import is_exported

    if running.weights_dir is None and is_exported(Path(encoder)):  # needs no torch
        return api.load_encoder(
            encoder, device=running.device, precision=running.precision, compile=running.compile
        )
    from timbral.io.loaded_torch import refuse_without_torch

    refuse_without_torch(encoder)
    import torch

    from timbral.inference.load_checkpoint import device_before_download
    from timbral.io.devices import emulates_bf16, tune_cpu

    tune_cpu()
    if running.encoder_class:
        api.register_encoder(running.encoder_class)
    if running.weights_dir is None:
        device_before_download(encoder, running.device, running.precision)
        download_missing(encoder)
    computing = torch_threads or torch.get_num_threads()
    torch.set_num_threads(1)  # while loading, more threads would wait longer than work
    try:
        with log_shown("timbral.int8"):
            embedder = api.load_encoder(
                encoder,
                device=running.device,
                precision=running.precision,
                compile=running.compile,
                weights_dir=running.weights_dir,
            )
    finally:
        torch.set_num_threads(computing)
    if running.precision == "bf16" and emulates_bf16(torch.device(embedder.device.type)):
        print(
            "note: this processor has no bf16 instructions, so --precision bf16 is slower than "
            "fp32 here",
            file=sys.stderr,
        )
    return embedder


def print_passed_over(passed_over: Counter[str]) -> None:
    """Print how many files in a corpus's folder are not recordings, and of which kinds."""
    from timbral.data.corpora.passed_over import describe_passed_over

    if passed_over:
        print(describe_passed_over(passed_over))


def report_failures(failures: int, folder: Path | str, file: str = "failures.jsonl") -> int:
    """Print how many recordings failed, and which file has the reasons; returns the exit code."""
    if not failures:
        return OK
    print(
        f"{count(failures, 'recording')} could not be used; reasons: {folder}/{file}",
        file=sys.stderr,
    )
    return SOME_FAILED
