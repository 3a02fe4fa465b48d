#!/usr/bin/env bash
# transformers 5.24.0, torch 2.13.0, numpy 2.4.6
#
# Guess, written down before: Wav2Vec2FeatureExtractor normalizes each recording of a batch by its own samples (mean 0,
# variance 1), whether return_attention_mask is set or not.
# Seen: only where it is set. Without it, the extractor's default and the form of the base models, a recording is
# padded first and normalized together with its padding: beside one twice as long its level is 1.4 instead of 1, beside one
# five times as long 2.2, and the padding is not 0. Models whose feature extractor has group norm divide the level out again
# (what padding does to them otherwise is told in transformers_xvector_padding.sh). With layer norm (the large models)
# a right mask handed to the model does not help: with random weights the wrong level moves the mean of the true frames by 10
# to 28 % of the distance between two sounds, and by 19 to 109 % without a mask. With return_attention_mask=True it is 0.
# Who is hurt: whoever makes the extractor by hand, as Wav2Vec2FeatureExtractor(), or from a base model's settings, for
# another encoder, and makes the mask from the lengths: vectors depend on the longest recording of the batch.
# What to do: return_attention_mask=True, and hand its mask on; or normalize before padding.
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
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

RATE, SECONDS = 16_000, (1, 2.5, 5)
torch.set_num_threads(1)
generator = np.random.default_rng(0)
levels = [np.repeat(generator.random(int(20 * seconds)), RATE // 20) for seconds in SECONDS]
sounds = [(level * generator.standard_normal(len(level))).astype("float32") for level in levels]


def values(recordings: list[np.ndarray], **options) -> dict[str, torch.Tensor]:
    extractor = Wav2Vec2FeatureExtractor(**options)
    return extractor(recordings, sampling_rate=RATE, return_tensors="pt", padding=True)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return 1 - float(torch.cosine_similarity(one, other, dim=0))


default, masked = values(sounds), values(sounds, return_attention_mask=True)
alone = [values([sound])["input_values"] for sound in sounds]
ok = "attention_mask" not in default
for name, batch in (("default", default), ("return_attention_mask=True", masked)):
    level = [float(row[: len(sound)].std()) for row, sound in zip(batch["input_values"], sounds, strict=True)]
    padding = float(batch["input_values"][0, -1])
    print(f"{name}: levels of {SECONDS} s in one batch {level[0]:.2f}, {level[1]:.2f}, {level[2]:.2f}; padding {padding:.4f}")
    ok &= (level[0] > 2.2 and level[1] > 1.4 and padding != 0) if batch is default else (abs(level[0] - 1) < 0.01 and not padding)
kinds = ((Wav2Vec2Config, Wav2Vec2Model), (WavLMConfig, WavLMModel), (HubertConfig, HubertModel))
for norm in ("group", "layer"):
    for bias in (False, True):
        for config, network in kinds:
            torch.manual_seed(0)
            model = network(config(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, conv_dim=(32,) * 7,
                conv_bias=bias, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, feat_extract_norm=norm,
                do_stable_layer_norm=norm == "layer",
            )).eval()
            mask = masked["attention_mask"]
            with torch.no_grad():
                own, other = (model(wave).last_hidden_state[0].mean(0) for wave in (alone[0], alone[2]))
                frames = model(alone[0]).last_hidden_state.shape[1]
                moved = {
                    "the level alone": model(default["input_values"][:1, : len(sounds[0])]),
                    "padded, own mask": model(default["input_values"], attention_mask=mask),
                    "padded, no mask": model(default["input_values"]),
                    "padded, return_attention_mask=True": model(**masked),
                }
            share = {
                name: distance(states.last_hidden_state[0, :frames].mean(0), own) / distance(own, other)
                for name, states in moved.items()
            }
            print(f"{network.__name__}, {norm} norm{', with bias' if bias else ''}: moved by "
                  + ", ".join(f"{part:.0%} ({name})" for name, part in share.items()))
            if norm == "group":
                ok &= abs(share["the level alone"]) < 0.01
            else:
                ok &= min(share["the level alone"], share["padded, own mask"]) > 0.03
                ok &= abs(share["padded, return_attention_mask=True"]) < 0.01
sys.exit(0 if ok else "the behavior has changed: recordings are normalized without their padding")
PYTHON
