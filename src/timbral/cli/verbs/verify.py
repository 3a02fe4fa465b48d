"""The verb verify."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.checkpoints.known_names import DEFAULT_ENCODER, PUBLISHED_NAMES
from timbral.cli.common_options import (
    DEFAULT_RUNNING,
    OK,
    ChannelOption,
    Running,
    load_embedder,
    option,
    with_channel,
)
from timbral.cli.early_checks import check_channel, check_files, check_question, check_recordings
from timbral.cli.long_recordings import announce_length, clock_of
from timbral.cli.wording import count, name_flags, percent
from timbral.errors import ConfigError

if TYPE_CHECKING:
    from timbral.inference.decision import Decision
    from timbral.inference.embedder import Embedder

__all__ = ["run"]

DIFFERENT = 3
UNDECIDED = 4
SHORT_SECONDS = 20.0
"""total duration below which one thread is faster than several, which take time to start"""

ThresholdOption = Annotated[
    float | None,
    option(
        "COSINE",
        "lowest cosine that means the same speaker; default: the calibration's threshold, "
        "else the EER point on the run's validation speakers",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    option(
        "FILE",
        "a calibration of this encoder, from `timbral calibrate`; default: the encoder's own",
    ),
]
FalseAcceptOption = Annotated[
    float | None,
    option("RATE", "highest false accept rate; the calibration provides a threshold that keeps it"),
]
PriorOption = Annotated[float, option("P", "prior probability of the same speaker")]


def run(
    recordings: Annotated[
        Positional[tuple[str, ...]],
        option(
            "[ENCODER] FIRST SECOND",
            "two recordings, optionally preceded by an encoder: a name from `timbral models`, a "
            f"run, a checkpoint …; default: {DEFAULT_ENCODER}, which ships with timbral",
        ),
    ],
    *,
    threshold: ThresholdOption = None,
    calibration: CalibrationOption = None,
    false_accept: FalseAcceptOption = None,
    prior: PriorOption = 0.5,
    channel: ChannelOption = "mix",
    json: Annotated[bool, option(None, "print one JSON object with everything")] = False,
    exit_code: Annotated[
        bool, option(None, "exit with 0: same speaker, 3: different speakers, 4: not decided")
    ] = False,
    running: Running = DEFAULT_RUNNING,
) -> int:
    """Decide whether two recordings are of the same speaker.

    example: timbral verify campplus-zh-en a.wav b.wav --false-accept 0.01
    """
    encoder, first, second = _encoder_and_recordings(recordings)
    check_recordings(first, second)
    check_channel(channel, first, second)
    check_files(calibration)
    check_question(threshold, false_accept, prior)
    seconds = announce_length(first, second)
    embedder = load_embedder(
        encoder, running, torch_threads=1 if 0 < seconds <= SHORT_SECONDS else None
    )
    with clock_of(seconds) as embedder.runtime.progress:
        decision = embedder.verify(
            with_channel(first, channel),
            with_channel(second, channel),
            threshold,
            calibration=calibration,
            false_accept=false_accept,
            prior=prior,
        )
    if json:
        print(_as_json(embedder, first, second, decision))
    else:
        _print_decision(decision)
    for warning in decision.warnings:
        print(f"note: {name_flags(warning, 'verify')}", file=sys.stderr)
    return _code(decision) if exit_code else OK


def _code(decision: Decision) -> int:
    if decision.same is None:
        return UNDECIDED
    return OK if decision.same else DIFFERENT


def _encoder_and_recordings(words: tuple[str, ...]) -> tuple[str, str, str]:
    """The encoder and the two recordings of a command line; ConfigError for anything else."""
    if len(words) == 3 and not _is_recording(words[0]):
        return words
    is_encoder = bool(words) and (words[0] in PUBLISHED_NAMES or Path(words[0]).is_dir())
    if len(words) == 2 and not is_encoder:
        return (DEFAULT_ENCODER, *words)
    if len(words) == 2 and all(Path(word).is_dir() for word in words):
        raise ConfigError(
            f"verify compares two recordings, got the folders {words[0]} and {words[1]}; give a "
            "recording of each (`timbral similarity` compares folders of cloned voices)"
        )
    found = count(len(words) - is_encoder, "recording")
    found = f"the encoder {words[0]} and {found}" if is_encoder else found
    raise ConfigError(
        f"verify compares two recordings, got {found}; as in `timbral verify a.wav b.wav` "
        f"(with {DEFAULT_ENCODER}) or `timbral verify campplus-zh-en a.wav b.wav`"
    )


def _is_recording(word: str) -> bool:
    from timbral.audio.decode import AUDIO_SUFFIXES

    return Path(word).suffix.lower() in AUDIO_SUFFIXES and Path(word).is_file()


def _print_decision(decision: Decision) -> None:
    if decision.threshold is None:
        print(f"cosine {decision.score:.3f}")
        print("no threshold is known for this encoder (no validation); give one with --threshold")
        return
    if decision.same is None:
        print(f"cosine {decision.score:.3f}")
        print("not decided: " + name_flags(decision.why, "verify"))
        return
    score, limit = decision.compared
    print(f"cosine {score}")
    if decision.probability is not None:
        print(
            f"probability of the same speaker {percent(decision.probability)} "
            f"(llr {decision.llr:+.1f}, prior {decision.prior:g})"
        )
    promise = decision.false_accept_bound
    promised = "" if promise is None else f", false accepts at most {percent(promise)}"
    print(f"{_verdict(decision)} (threshold {limit}{promised})")


def _verdict(decision: Decision) -> str:
    """The decision in words.

    Where the probability is on the other side of 1/2, the words speak of acceptance only.
    """
    probability = decision.probability
    if probability is not None and (probability > 0.5) != decision.same:
        return f"{'' if decision.same else 'not '}accepted as the same speaker"
    return "same speaker" if decision.same else "different speakers"


def _as_json(embedder: Embedder, first: str, second: str, decision: Decision) -> str:
    content = {
        "first": first,
        "second": second,
        "encoder": embedder.name,
        "weights_sha256": embedder.weights_sha256,
        **{
            name: getattr(decision, name)
            for name in (
                "score",
                "threshold",
                "same",
                "llr",
                "probability",
                "prior",
                "false_accept_bound",
                "warnings",
                "why",
            )
        },
    }
    return dumps(content, indent=2)
