"""Translate the command lines of ddvc's and PaddleSpeech's scripts to timbral's own.

The flags of a script are accepted by the verb that does its work: those of PaddleSpeech's
preprocess.py, train.py and inference.py by prepare, train and embed; those of ddvc's
train_encoder.py and create_speaker_emb_dataset.py by train and embed. Dashes and underscores are
equivalent.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from timbral.errors import ConfigError

__all__ = ["translate"]

LAYOUTS = {"VCTK": "vctk", "LibriTTS": "libritts"}
"""values of ddvc's --dataset_name"""


class _Parser(argparse.ArgumentParser):
    """Parses the flags of a script; an invalid one raises ConfigError."""

    def __init__(self, script: str) -> None:
        super().__init__(script, allow_abbrev=False, add_help=False)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"with the flags of {self.prog}: {message}")


def translate(words: Sequence[str]) -> list[str]:
    """The arguments of `timbral` with a script's flags replaced; any others are unchanged.

    Raises ConfigError if a flag of the script is missing or invalid.
    """
    if not words:
        return []
    verb, *rest = words
    dashed = [_dashed(word) for word in rest]
    flags = {word.partition("=")[0] for word in dashed}
    if verb == "prepare" and "--output-dir" in flags:
        return [verb, *_preprocess(dashed)]
    if verb == "train" and flags & {"--config", "--config-path", "--nprocs", "--ngpu"}:
        return [verb, *_train(dashed)]
    if verb == "embed" and flags & {"--dataset-dir", "--dataset-name"}:
        return [verb, *_create_speaker_emb_dataset(dashed)]
    if verb == "embed" and "--input" in flags:
        return [verb, *_inference(dashed)]
    return list(words)


def _dashed(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def _preprocess(words: Sequence[str]) -> list[str]:
    """PaddleSpeech's preprocess.py: corpora by name, separated by commas."""
    parser = _Parser("PaddleSpeech's preprocess.py")
    parser.add_argument("--datasets-root", required=True)
    parser.add_argument("--output-dir", required=True)
    parser.add_argument("--dataset-names", required=True)
    parser.add_argument("--no-trim", action="store_true")
    parser.add_argument("--skip-existing", action="store_true")  # timbral always does
    given, rest = parser.parse_known_args(words)
    return [
        *("--datasets-root", given.datasets_root, "--output", given.output_dir),
        *("--dataset-names", *filter(None, given.dataset_names.split(","))),
        *(("--trim", "none") if given.no_trim else ()),
        *rest,
    ]


def _train(words: Sequence[str]) -> list[str]:
    """PaddleSpeech's train.py and ddvc's train_encoder.py: the config is a flag."""
    parser = _Parser("PaddleSpeech's train.py")
    parser.add_argument("--config", "--config-path")
    processes = parser.add_mutually_exclusive_group()
    processes.add_argument("--nprocs", type=int)
    processes.add_argument("--ngpu", type=int)
    given, rest = parser.parse_known_args(words)
    if given.ngpu is not None:
        rest = ["--device", "cuda" if given.ngpu else "cpu", *rest]
    workers = given.nprocs if given.ngpu is None else max(1, given.ngpu)
    config = [given.config] if given.config else []
    return [*config, *(("--workers", str(workers)) if workers is not None else ()), *rest]


def _create_speaker_emb_dataset(words: Sequence[str]) -> list[str]:
    """ddvc's create_speaker_emb_dataset.py: whole corpora, with the files next to the audio."""
    parser = _Parser("ddvc's create_speaker_emb_dataset.py")
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--dataset-name", required=True, choices=LAYOUTS)
    parser.add_argument("--dataset-dir", required=True)
    parser.add_argument("--model-device", default="auto")
    parser.add_argument("--checkpoint")
    given, rest = parser.parse_known_args(words)
    return [
        given.checkpoint or given.model_name,
        given.dataset_dir,
        *("--layout", LAYOUTS[given.dataset_name], "--format", "torch", "--beside-audio"),
        *("--model-name", given.model_name, "--device", _device(given.model_device)),
        *rest,
    ]


def _inference(words: Sequence[str]) -> list[str]:
    """PaddleSpeech's inference.py: one `.npy` per recording, in a tree like the input's."""
    parser = _Parser("PaddleSpeech's inference.py")
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--checkpoint-path", required=True)
    parser.add_argument("--pattern", default="*.wav")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--device", default="auto")
    device.add_argument("--ngpu", type=int)
    parser.add_argument("--config", default="")
    parser.add_argument("--opts", nargs="*", default=[])
    given, rest = parser.parse_known_args(words)
    if given.ngpu is not None:
        given.device = "cuda" if given.ngpu else "cpu"
    settings = [*(["--config", given.config] if given.config else [])]
    settings += ["--opts", *given.opts] if given.opts else []
    return [
        given.checkpoint_path,
        given.input,
        *("--output", given.output, "--layout", "tree", "--format", "npy"),
        *("--pattern", given.pattern, "--device", _device(given.device)),
        *rest,
        *settings,
    ]


def _device(name: str) -> str:
    """The device in timbral for ddvc's `best` (auto) and PaddleSpeech's `gpu` (cuda)."""
    device, colon, number = name.partition(":")
    return {"best": "auto", "gpu": "cuda"}.get(device, device) + colon + number
