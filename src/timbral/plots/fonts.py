"""Fonts for names in any script: installed ones that have what matplotlib's own font lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["TextFonts", "fonts_for"]

BOXES = ("LastResort", "Last Resort", "Adobe Blank", "AdobeBlank")
"""fonts that claim to have every character, and draw boxes or nothing"""
REGULAR = (400, "normal", "regular")
"""weights of which nearly every font has one"""


@dataclass(frozen=True)
class TextFonts:
    """The fonts of a text, and what they lack."""

    families: tuple[str, ...]
    """names of fonts; each has characters that those before it lack"""
    missing: str
    """the characters that no installed font has, sorted"""

    @property
    def boldest(self) -> str:
        """The weight for headings: bold, unless installed fonts are needed, most not bold."""
        return "bold" if len(self.families) == 1 else "normal"

    def shown(self, text: str) -> str:
        r"""The text with its missing characters as escapes, such as ``\u4e2d``."""
        return "".join(
            char.encode("unicode_escape").decode() if char in self.missing else char
            for char in text
        )


def fonts_for(texts: Iterable[str]) -> TextFonts:
    """Matplotlib's own font, followed by as many installed ones as the texts need."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    own = FontProperties()
    families = list(own.get_family())  # not rcParams' own list, which matplotlib 3.10 gives
    missing = {char for text in texts for char in text if _is_drawn(char)}
    missing -= _characters(findfont(own))
    files = {
        entry.name: entry.fname
        for entry in fontManager.ttflist
        if entry.weight in REGULAR and entry.style == "normal" and not entry.name.startswith(BOXES)
    }
    for name in sorted(files, key=lambda name: ("Sans" not in name, name)):
        if not missing:
            break
        found = missing & _characters(files[name])
        if found:
            families.append(name)
            missing -= found
    return TextFonts(tuple(families), "".join(sorted(missing)))


def _is_drawn(char: str) -> bool:
    """Whether a character needs a glyph: no space, and no mark that only joins others."""
    return not char.isspace() and unicodedata.category(char) != "Cf"


def _characters(file: str) -> set[str]:
    """The characters of a font; none if its file is gone or damaged."""
    from matplotlib.ft2font import FT2Font

    try:
        return {chr(code) for code in FT2Font(file).get_charmap()}
    except (OSError, RuntimeError):
        return set()
