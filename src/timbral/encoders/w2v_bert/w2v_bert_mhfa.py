"""w2v-BERT 2.0 under multi-head factorized attentive pooling of all hidden states."""

from __future__ import annotations

from timbral.encoders.factorized_attention import FactorizedAttention
from timbral.encoders.w2v_bert.w2v_bert_body import W2vBertBody
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertMhfaConfig

__all__ = ["W2vBertMhfaEncoder"]


class W2vBertMhfaEncoder(W2vBertBody):
    """w2v-BERT 2.0 under multi-head factorized attentive pooling (MHFA), on 80 filter banks."""

    name = "w2v-bert-mhfa"
    config_type = W2vBertMhfaConfig
    tiny_config = W2vBertMhfaConfig(16, 2, 2, 24, 5, 6, 2, 4, 8, 16)
    config: W2vBertMhfaConfig

    def __init__(self, config: W2vBertMhfaConfig) -> None:
        super().__init__(config, FactorizedAttention(config), config.embedding_dim)
