"""What files of weights and their metadata are called; asked without torch."""

from __future__ import annotations

__all__ = [
    "CONFIG_FILES",
    "METADATA_FILE",
    "OPTIMIZER_FILE",
    "RECIPE_FILES",
    "WEIGHTS_FILE",
    "WEIGHT_FILES",
]

WEIGHTS_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
METADATA_FILE = "checkpoint.json"
"""of a checkpoint folder"""
CONFIG_FILES = ("preprocessor_config.json", "config.json")
"""what transformers keeps beside weights"""
RECIPE_FILES = ("hyperparams.yaml", "config.yaml")
"""what SpeechBrain and WeSpeaker keep there"""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "embedding_model.ckpt")
"""weights in folders of transformers and SpeechBrain, the safer ones first"""
