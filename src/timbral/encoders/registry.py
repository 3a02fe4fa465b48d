"""Speaker encoders. A new one is a file with a config and a class, and a line in `ENCODERS`."""

from __future__ import annotations

from timbral.encoders.base import SpeakerEncoder, Windows
from timbral.encoders.campplus import CampplusConfig, CampplusEncoder
from timbral.encoders.ecapa import EcapaConfig, EcapaEncoder
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.encoders.tdnn import TdnnConfig, TdnnEncoder
from timbral.encoders.wavlm import WavlmConfig, WavlmEncoder

__all__ = [
    "ENCODERS",
    "CampplusConfig",
    "CampplusEncoder",
    "EcapaConfig",
    "EcapaEncoder",
    "LstmConfig",
    "LstmEncoder",
    "SpeakerEncoder",
    "TdnnConfig",
    "TdnnEncoder",
    "WavlmConfig",
    "WavlmEncoder",
    "Windows",
]

ENCODERS: dict[str, type[SpeakerEncoder]] = {
    "campplus": CampplusEncoder,
    "ecapa": EcapaEncoder,
    "lstm": LstmEncoder,
    "tdnn": TdnnEncoder,
    "wavlm": WavlmEncoder,
}
