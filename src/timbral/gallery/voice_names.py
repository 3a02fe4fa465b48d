"""What a voice may be called."""

from __future__ import annotations

import unicodedata

from timbral.errors import ConfigError

__all__ = ["NOBODY", "checked_name"]

NOBODY = "nobody"
"""what identification answers for a voice that is not enrolled"""
LONGEST = 255
"""characters of a name"""
UNPRINTABLE = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})
"""categories of Unicode that a name on a page, in a list or in a log must not hold"""
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""which let a name look like another"""


def checked_name(name: str) -> str:
    """A name as it is stored: in Unicode's composed form (NFC), so that what looks the same is.

    Raises ConfigError for a name that is empty, begins or ends with a blank, holds control
    characters, is longer than 255 characters, or is the answer for those who are not enrolled.
    """
    composed = unicodedata.normalize("NFC", name)
    if reason := _what_is_wrong(composed):
        raise ConfigError(f"name: {reason}, got {name!r}; a name is any text such as 'caller-17'")
    return composed


def _what_is_wrong(name: str) -> str | None:
    if not name or name != name.strip():
        return "a voice needs a name without blanks at its ends"
    if len(name) > LONGEST:
        return f"a name has at most {LONGEST} characters, this one {len(name):,}"
    if any(unicodedata.category(each) in UNPRINTABLE or each in DIRECTION_MARKS for each in name):
        return "a name holds no control characters or line breaks"
    if name.casefold() == NOBODY:
        return f"{NOBODY!r} is what `identify` answers for a voice that is not enrolled"
    return None
