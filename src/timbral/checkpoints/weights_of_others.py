"""Weights that other projects publish and `convert` reads, with architecture and license.

Needs no torch, so that `timbral models` prints them at once. A license is what the publisher states
for the weights, else for their repository. It is only shown, not recorded for a converted file,
which may have another author.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WEIGHTS_OF_OTHERS", "WeightsOfOthers", "weights_of_others"]


@dataclass(frozen=True)
class WeightsOfOthers:
    """Weights of another project that timbral does not distribute."""

    format: str
    """name in `timbral.checkpoints.foreign.registry.FORMATS`"""
    publisher: str
    license: str
    """empty if none is stated"""
    architectures: tuple[str, ...]
    """names of encoders that the weights are for, or that they initialize"""


OF_ITS_CORPUS = "that of its corpus (of VoxCeleb CC-BY-4.0)"
"""WeSpeaker's docs/pretrained.md"""

WEIGHTS_OF_OTHERS = (
    WeightsOfOthers("3d-speaker", "3D-Speaker", "Apache-2.0", ("campplus", "eres2net-v2")),
    WeightsOfOthers("chatterbox", "Resemble AI", "MIT", ("lstm",)),
    WeightsOfOthers("cosyvoice", "CosyVoice, 3D-Speaker's", "Apache-2.0", ("campplus",)),
    WeightsOfOthers("ddvc", "ddvc", "", ("ecapa", "wavlm")),
    WeightsOfOthers("paddlespeech", "PaddleSpeech", "Apache-2.0", ("lstm",)),
    WeightsOfOthers("pyannote", "pyannote, WeSpeaker's", "CC-BY-4.0", ("resnet",)),
    WeightsOfOthers("real-time-voice-cloning", "Real-Time-Voice-Cloning", "MIT", ("lstm",)),
    WeightsOfOthers("redimnet", "ID R&D, Palabra AI", "MIT", ("redimnet",)),
    WeightsOfOthers("resemblyzer", "Resemble AI", "Apache-2.0", ("lstm",)),
    WeightsOfOthers("speechbrain", "SpeechBrain", "Apache-2.0", ("ecapa",)),
    WeightsOfOthers(
        "transformers",
        "Microsoft",
        "CC-BY-SA-3.0",
        ("wavlm", "wavlm-ecapa", "wavlm-mhfa"),
    ),
    WeightsOfOthers(
        "transformers-w2v-bert",
        "Meta",
        "MIT",
        ("w2v-bert", "w2v-bert-ecapa", "w2v-bert-mhfa"),
    ),
    WeightsOfOthers("unispeech", "Microsoft", "CC-BY-SA-3.0", ("wavlm-ecapa",)),
    WeightsOfOthers("wespeaker", "WeSpeaker", OF_ITS_CORPUS, ("resnet",)),
    WeightsOfOthers("wespeaker-campplus", "WeSpeaker", OF_ITS_CORPUS, ("campplus",)),
    WeightsOfOthers("wespeaker-ecapa", "WeSpeaker", OF_ITS_CORPUS, ("ecapa",)),
    WeightsOfOthers("wespeaker-mhfa", "BUT", "", ("wavlm-mhfa",)),
    WeightsOfOthers("wespeaker-redimnet", "WeSpeaker", OF_ITS_CORPUS, ("redimnet",)),
    WeightsOfOthers("wespeaker-w2v-bert", "WeSpeaker", OF_ITS_CORPUS, ("w2v-bert",)),
)


def weights_of_others(architecture: str) -> tuple[WeightsOfOthers, ...]:
    """Published weights for an architecture, or for the body that it is trained from."""
    return tuple(one for one in WEIGHTS_OF_OTHERS if architecture in one.architectures)
