#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: Wav2Vec2ForXVector, WavLMForXVector and UniSpeechSatForXVector, given an attention mask, make
# the same vector of a recording alone and padded in a batch, to a cosine of 1 - 1e-4.
# Seen: no. With layer norm in the feature extractor the hidden states of the true frames are equal to 1e-5, but the
# statistics that become the vector are taken over more: the number of frames behind the TDNN is computed as if its layers
# had no dilation, which counts six frames (120 ms) too many, and these have seen padding. With group norm, as the
# published speaker models of base size have it, padding changes the norm of every frame too; the documentation calls
# that slight. With random weights, padding 1 s to 4 s moves a vector by 6 to 15 % of the distance between two different
# sounds with layer norm, and by 50 to 110 % with group norm.
# Who is hurt: whoever embeds recordings of different lengths in batches: a vector depends on the longest of its
# batch, most for short recordings, and the same list in another order gives other vectors.
# What to do: embed one at a time, or batch recordings of equal length; a threshold found on vectors made singly does not
# hold for those of batches.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 torch==2.13.0 numpy==2.4.6
TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import torch
from transformers import (
    UniSpeechSatConfig,
    UniSpeechSatForXVector,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForXVector,
    WavLMConfig,
    WavLMForXVector,
)

RATE = 16_000
torch.set_num_threads(1)
generator = np.random.default_rng(0)
levels = [np.repeat(generator.random(20 * seconds), RATE // 20) for seconds in (1, 2, 4)]
sounds = [(level * generator.standard_normal(len(level))).astype("float32") for level in levels]
extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
batch = extractor(sounds, sampling_rate=RATE, return_tensors="pt", padding=True)
alone = [extractor([sound], sampling_rate=RATE, return_tensors="pt", padding=True) for sound in sounds]
kinds = ((Wav2Vec2Config, Wav2Vec2ForXVector), (WavLMConfig, WavLMForXVector),
         (UniSpeechSatConfig, UniSpeechSatForXVector))
ok = True
for norm in ("layer", "group"):
    for config, network in kinds:
        torch.manual_seed(0)
        model = network(config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(32,) * 7,
            num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, tdnn_dim=(64, 64, 64, 64, 128),
            xvector_output_dim=64, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer",
        )).eval()
        with torch.no_grad():
            own = torch.cat([model(**inputs).embeddings for inputs in alone])
            padded = model(**batch).embeddings
            states = [model.base_model(**inputs).last_hidden_state[0] for inputs in (alone[0], batch)]
        count = len(states[0])
        counted = int(model._get_tdnn_output_lengths(torch.tensor(count)))
        layers = zip(model.config.tdnn_kernel, model.config.tdnn_dilation, strict=True)
        true = count - sum(dilation * (kernel - 1) for kernel, dilation in layers)
        moved = 1 - float(torch.cosine_similarity(own[0], padded[0], dim=0))
        between = 1 - float(torch.cosine_similarity(own[0], own[2], dim=0))
        longest = 1 - float(torch.cosine_similarity(own[2], padded[2], dim=0))
        hidden = float((states[0] - states[1][:count]).abs().max())
        print(f"{network.__name__}, {norm} norm: hidden states differ by {hidden:.0e}; frames pooled {counted} of {true}; "
              f"padding moves the vector by {moved / between:.0%} of the distance between two sounds")
        ok &= moved > 2e-4 and counted - true == 6 and abs(longest) < 1e-5 and (norm == "group" or hidden < 1e-4)
sys.exit(0 if ok else "the behavior has changed: a padded recording keeps its vector, or frames are counted rightly")
PYTHON
