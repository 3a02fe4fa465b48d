"""The command lines of ddvc and PaddleSpeech, as words of `timbral embed`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from timbral.errors import ConfigError

__all__ = ["translate"]

LAYOUTS = {"VCTK": "vctk", "LibriTTS": "libritts"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"timbral embed, with the flags of {self.prog}: {message}")


def translate(words: Sequence[str]) -> list[str]:
    """Words behind `timbral` with the old flags of `embed` replaced; others come back as they are.

    `--dataset-dir` or `--dataset-name` tells ddvc, `--input` tells PaddleSpeech; dash and
    underscore are the same. ConfigError when a flag is missing or belongs to neither.
    """
    if words and words[0] == "train":  # PaddleSpeech's name for the number of processes
        return [re.sub(r"^--nprocs\b", "--workers", word) for word in words]
    if not words or words[0] != "embed":
        return list(words)
    dashed = [_dashed(word) for word in words[1:]]
    given = {word.partition("=")[0] for word in dashed}
    if given & {"--dataset-dir", "--dataset-name"}:
        return ["embed", *_ddvc(dashed)]
    if "--input" in given:
        return ["embed", *_paddlespeech(dashed)]
    return list(words)


def _dashed(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value if word.startswith("--") else word


def _ddvc(words: Sequence[str]) -> list[str]:
    """create_speaker_emb_dataset.py: embeds whole corpora, and writes beside the audio."""
    parser = _Parser("ddvc", allow_abbrev=False, add_help=False)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--dataset-name", required=True, choices=LAYOUTS)
    parser.add_argument("--dataset-dir", required=True)
    parser.add_argument("--model-device", default="auto")
    parser.add_argument("--checkpoint")
    old, rest = parser.parse_known_args(words)
    return [
        old.checkpoint or old.model_name,
        old.dataset_dir,
        *("--layout", LAYOUTS[old.dataset_name], "--format", "torch", "--beside-audio"),
        *("--model-name", old.model_name, "--device", _device(old.model_device)),
        *rest,
    ]


def _paddlespeech(words: Sequence[str]) -> list[str]:
    """inference.py: one `.npy` for each recording, in a tree like the input's."""
    parser = _Parser("PaddleSpeech", allow_abbrev=False, add_help=False)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--checkpoint-path", required=True)
    parser.add_argument("--pattern", default="*.wav")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--config", default="")
    parser.add_argument("--opts", nargs="*", default=[])
    old, rest = parser.parse_known_args(words)
    settings = [*(["--config", old.config] if old.config else [])]
    settings += ["--opts", *old.opts] if old.opts else []
    return [
        old.checkpoint_path,
        old.input,
        *("--output", old.output, "--layout", "tree", "--format", "npy"),
        *("--pattern", old.pattern, "--device", _device(old.device)),
        *rest,
        *settings,
    ]


def _device(name: str) -> str:
    """`best` is A's word for auto, `gpu` is Paddle's for cuda."""
    kind, colon, number = name.partition(":")
    return {"best": "auto", "gpu": "cuda"}.get(kind, kind) + colon + number
