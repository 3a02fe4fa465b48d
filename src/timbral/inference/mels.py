"""Which encoders take precomputed mels."""

from __future__ import annotations

from timbral.encoders.base import SpeakerEncoder
from timbral.encoders.frontends import GE2E_MEL
from timbral.errors import ConfigError

__all__ = ["check_takes_mels"]


def check_takes_mels(encoder: SpeakerEncoder) -> None:
    """Raise ConfigError unless the encoder's front-end gives what precomputed mels hold."""
    if encoder.frontend.config != GE2E_MEL:
        raise ConfigError(
            f"{encoder.name} does not take precomputed mels: they are {GE2E_MEL.n_mels} linear mel "
            "powers for the LSTM encoder, and its front-end makes other features; prepare the "
            "recordings themselves (format arrow) instead"
        )
