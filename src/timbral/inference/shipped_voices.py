"""The synthetic voices that come with timbral, where no corpus is at hand."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["VOICES"]

VOICES = Path(str(files("timbral"))) / "demo" / "voices"
"""a folder for each voice, of recordings"""
