"""Config files of other systems, read as they are.

System A is data_driven_ai_voice_cloning's SpeakerEncoder, system B PaddleSpeech's GE2E recipe.
"""

from __future__ import annotations

from timbral.systems.audio import prepare_audio, with_epochs
from timbral.systems.recipe import Meaning, Recipe, RunSettings, read_recipe

__all__ = [
    "Meaning",
    "Recipe",
    "RunSettings",
    "prepare_audio",
    "read_recipe",
    "with_epochs",
]
