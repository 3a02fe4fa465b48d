"""w2v-BERT 2.0 under a small ECAPA-TDNN, which takes a weighted sum of all hidden states."""

from __future__ import annotations

from timbral.encoders.small_ecapa import TINY_ECAPA, SmallEcapa
from timbral.encoders.w2v_bert.w2v_bert_body import W2vBertBody
from timbral.encoders.w2v_bert.w2v_bert_config import W2vBertEcapaConfig

__all__ = ["W2vBertEcapaEncoder"]


class W2vBertEcapaEncoder(W2vBertBody):
    """w2v-BERT 2.0, its layers weighted, under a small ECAPA-TDNN, on 80 filter banks."""

    name = "w2v-bert-ecapa"
    config_type = W2vBertEcapaConfig
    tiny_config = W2vBertEcapaConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_kernel=5,
        left_positions=6,
        right_positions=2,
        **TINY_ECAPA,
    )
    config: W2vBertEcapaConfig

    def __init__(self, config: W2vBertEcapaConfig) -> None:
        pooling = SmallEcapa(config.ecapa(), config.num_hidden_layers + 1, config.hidden_size)
        super().__init__(config, pooling, config.embedding_dim)
