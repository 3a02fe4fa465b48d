"""Options between the other words of a command line.

Of an argument that takes any number of words (``RECORDING …``), tyro takes those before the next
option only, and has no place for words after it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, Union, get_args, get_origin

from timbral.cli.wording import flags_of, option_types

__all__ = ["options_last"]

END = "--"
"""the word after which nothing is an option"""


def options_last(run: Callable[..., int], words: Sequence[str]) -> list[str]:
    """A command line with its options, and their values, after all other words.

    Options keep their order. One that takes any number of values takes all words up to the next
    option.

    Args:
        run: the verb, whose parameters tell how many values an option takes
        words: the command line, without the verb
    """
    types_of_options = option_types(run)
    values = {flag: _most_values(types_of_options[name]) for name, flag in flags_of(run).items()}
    end = words.index(END) if END in words else len(words)
    others: list[str] = []
    options: list[str] = []
    expected = 0.0
    for word in words[:end]:
        if _is_option(word):
            flag, equals, _ = word.partition("=")
            expected = 0 if equals else values.get(flag.replace("_", "-"), 0)
            options.append(word)
        elif expected:
            expected -= 1
            options.append(word)
        else:
            others.append(word)
    if end < len(words):  # an argument takes words from before and after this one
        return [*options, END, *others, *words[end + 1 :]]
    return others + options


def _is_option(word: str) -> bool:
    """Whether a word is an option, as tyro sees it: neither ``-`` nor a negative number."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha()


def _most_values(kind: Any) -> float:
    """How many words tyro takes at most for a value of this type; infinity for any number."""
    if kind is bool:
        return 0
    if get_origin(kind) in (Union, types.UnionType):  # such as `Path | None`
        kinds = [each for each in get_args(kind) if each is not type(None)]
        return 1 if all(_most_values(each) == 1 for each in kinds) else float("inf")
    return float("inf") if get_origin(kind) is tuple else 1
