"""The synthetic voices that come with timbral."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["VOICES"]

VOICES = Path(str(files("timbral"))) / "demo" / "voices"
"""one folder of recordings per voice"""
