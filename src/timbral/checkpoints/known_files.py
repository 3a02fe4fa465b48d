"""Names of files with weights and their metadata; needs no torch."""

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
"""files of a checkpoint folder"""
CONFIG_FILES = ("preprocessor_config.json", "config.json")
"""files of transformers next to its weights"""
RECIPE_FILES = ("hyperparams.yaml", "config.yaml")
"""files of SpeechBrain and WeSpeaker next to their weights"""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "embedding_model.ckpt")
"""weights in folders of transformers and SpeechBrain, the safer formats first"""
