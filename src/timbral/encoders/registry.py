"""Speaker encoders by name. A new encoder is a file with a config and a class, and a line here."""

from __future__ import annotations

from timbral.encoders.base import EncoderConfig, SpeakerEncoder
from timbral.encoders.campplus import CampplusEncoder
from timbral.encoders.campplus_small import SmallCampplusEncoder
from timbral.encoders.ecapa import EcapaEncoder
from timbral.encoders.eres2net_v2 import Eres2netV2Encoder
from timbral.encoders.lstm import LstmEncoder
from timbral.encoders.redimnet.redimnet_encoder import RedimnetEncoder
from timbral.encoders.redimnet.redimnet_sizes import SIZES as REDIMNET_SIZES
from timbral.encoders.resnet import SIZES as RESNET_SIZES
from timbral.encoders.resnet import ResnetEncoder
from timbral.encoders.tdnn import TdnnEncoder
from timbral.encoders.w2v_bert.w2v_bert_ecapa import W2vBertEcapaEncoder
from timbral.encoders.w2v_bert.w2v_bert_encoder import W2vBertEncoder
from timbral.encoders.w2v_bert.w2v_bert_mhfa import W2vBertMhfaEncoder
from timbral.encoders.wavlm.encoder import WavlmEncoder
from timbral.encoders.wavlm_ecapa import WavlmEcapaEncoder
from timbral.encoders.wavlm_mhfa import WavlmMhfaEncoder

__all__ = ["ENCODERS", "ENCODER_SIZES"]

ENCODERS: dict[str, type[SpeakerEncoder]] = {
    "campplus": CampplusEncoder,
    "campplus-small": SmallCampplusEncoder,
    "ecapa": EcapaEncoder,
    "eres2net-v2": Eres2netV2Encoder,
    "lstm": LstmEncoder,
    "redimnet": RedimnetEncoder,
    "resnet": ResnetEncoder,
    "tdnn": TdnnEncoder,
    "w2v-bert": W2vBertEncoder,
    "w2v-bert-ecapa": W2vBertEcapaEncoder,
    "w2v-bert-mhfa": W2vBertMhfaEncoder,
    "wavlm": WavlmEncoder,
    "wavlm-ecapa": WavlmEcapaEncoder,
    "wavlm-mhfa": WavlmMhfaEncoder,
}

ENCODER_SIZES: dict[str, EncoderConfig] = {**REDIMNET_SIZES, **RESNET_SIZES}
"""published sizes other than the defaults, by names that configs accept like an encoder's"""
