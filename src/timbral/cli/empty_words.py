"""Empty words on a command line: as a path, one would mean the current folder."""

from __future__ import annotations

from collections.abc import Sequence

from timbral.errors import ConfigError

__all__ = ["refuse_empty_words"]

TEXTS = ("--consent", "--description", "--license", "--model-name", "--opts", "--project")
"""options whose value may be empty"""


def refuse_empty_words(words: Sequence[str]) -> None:
    """Raise ConfigError for an empty word where a name or path is expected."""
    before = "the verb"
    for word in words:
        if not word and before not in TEXTS:
            raise ConfigError(f"the word after {before} is empty; is a shell variable empty?")
        if word:
            before = word
