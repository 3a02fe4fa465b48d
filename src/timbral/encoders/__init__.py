"""Speaker encoders. A new one is a file with a config and a class, and a line in `ENCODERS`."""

from __future__ import annotations

from timbral.encoders.base import SpeakerEncoder, Windows
from timbral.encoders.campplus import CampplusConfig, CampplusEncoder
from timbral.encoders.lstm import LstmConfig, LstmEncoder
from timbral.encoders.tdnn import TdnnConfig, TdnnEncoder

__all__ = [
    "ENCODERS",
    "CampplusConfig",
    "CampplusEncoder",
    "LstmConfig",
    "LstmEncoder",
    "SpeakerEncoder",
    "TdnnConfig",
    "TdnnEncoder",
    "Windows",
]

ENCODERS: dict[str, type[SpeakerEncoder]] = {
    "campplus": CampplusEncoder,
    "lstm": LstmEncoder,
    "tdnn": TdnnEncoder,
}
