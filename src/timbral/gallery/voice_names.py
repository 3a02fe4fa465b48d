"""Rules for names of voices and notes of consent."""

from __future__ import annotations

import unicodedata

from timbral.errors import ConfigError

__all__ = ["NOBODY", "check_consent", "checked_name"]

NOBODY = "nobody"
"""answer of identification for a voice that is not enrolled"""
LONGEST = 255
"""maximum number of characters"""
LONGEST_CONSENT = 5000
UNPRINTABLE = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})
"""Unicode categories that are not allowed in a name, because it is shown on pages, in lists and
logs"""
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""not allowed in a name either, because they can make it look like another"""


def checked_name(name: str) -> str:
    """A name as it is stored: in Unicode's composed form (NFC), so that equal names are equal.

    Raises ConfigError for a name that is not text, is empty or invisible, begins or ends with a
    space, contains control characters, is longer than 255 characters, or is the answer for speakers
    who are not enrolled.
    """
    if not isinstance(name, str):
        raise ConfigError(f"name: a voice's name must be text such as 'caller-17', got {name!r}")
    composed = unicodedata.normalize("NFC", name)
    if reason := _what_is_wrong(composed):
        raise ConfigError(f"name: {reason}, got {name!r}; any text such as 'caller-17' is allowed")
    return composed


def check_consent(consent: str) -> None:
    """Raise ConfigError for a consent note that is not text, or longer than a page."""
    odd = {each for each in consent if unicodedata.category(each) in ("Cc", "Cs")} - set("\n\r\t")
    if odd or len(consent) > LONGEST_CONSENT:
        raise ConfigError(
            f"consent: a note may have at most {LONGEST_CONSENT:,} characters, and no control "
            "characters except line breaks"
        )


def _what_is_wrong(name: str) -> str | None:
    if not name or name != name.strip():
        return "a voice needs a name without spaces at its ends"
    if len(name) > LONGEST:
        return f"a name may have at most {LONGEST} characters, this one has {len(name):,}"
    if any(unicodedata.category(each) in UNPRINTABLE or each in DIRECTION_MARKS for each in name):
        return "a name must not contain control characters or line breaks"
    if all(unicodedata.category(each) == "Cf" for each in name):
        return "a name needs at least one visible character"
    if name in (".", ".."):
        return "the names . and .. cannot be used in a web address"
    if name.casefold() == NOBODY:
        return f"`identify` uses {NOBODY!r} for a voice that is not enrolled"
    return None
