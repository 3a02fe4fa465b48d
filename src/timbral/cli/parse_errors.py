"""Errors in the arguments of a command, in one line like all other errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_type_hints

from timbral.cli.missing_encoder import missing_encoder_hint
from timbral.cli.wording import flags_of
from timbral.errors import ConfigError, did_you_mean

__all__ = ["parse_errors_in_one_line"]

ENCODER_FIRST = (("encoder", "corpus"), ("encoder", "trials"))
"""the first arguments of verbs where users may leave out the encoder and start with the other"""


@contextmanager
def parse_errors_in_one_line(run: Callable[..., int], words: Sequence[str]) -> Iterator[None]:
    """Within this context, a parse error of tyro is raised as a ConfigError.

    Versions of tyro without a hook for parse errors print a box of several lines instead.

    Args:
        run: the verb, whose flags are suggested for an unknown one
        words: the arguments that are parsed
    """
    try:
        from tyro import _errors as events
    except ImportError:
        yield
        return
    flags = list(flags_of(run).values())

    def refuse(event: events.ParseErrorEvent) -> None:
        if isinstance(event, events.MissingArgs):
            message = (
                _unknown(event.unrecognized_tokens, flags, event.prog)
                or _missing_encoder(run, event.prog, words, event.missing_arguments)
                or _missing(event.missing_arguments)
                + _usage(run, event.prog, event.missing_arguments)
            )
        elif isinstance(event, events.UnrecognizedArgs):
            message = (
                _unknown(event.tokens, flags, event.prog) or f"unexpected word {event.tokens[0]!r}"
            )
        elif isinstance(event, events.InvalidChoice):
            hint = did_you_mean(event.value, event.choices)
            message = (
                f"{event.prog} needs an action first, got {event.value!r}{hint}"
                if event.argument.is_positional()
                else f"{_short_name(event.argument)}: unknown value {event.value!r}{hint}"
            )
        elif isinstance(event, events.BadValue):
            may_lack_encoder = event.argument.is_positional() and _takes_encoder_first(run)
            message = (may_lack_encoder and _encoder_as_option(words, flags, event.prog)) or (
                f"{_name(event.argument)} needs a value"
            )
        elif isinstance(event, events.InstantiationFailure) and event.argument is not None:
            message = f"{_short_name(event.argument)}: {_cause(event.message)}"
        else:
            return
        raise ConfigError(f"{message}; see: {event.prog} --help")

    with events.on_parse_error(refuse):
        yield


def _cause(message: str) -> str:
    """The cause of a failure, in one line.

    For an optional option, tyro's message has a cause for each type; that of None is left out.
    """
    several = re.search(r"input length (\d+) did not match expected argument count (\d+)", message)
    if several:
        return "takes {1} values, got {0}".format(*several.groups())
    causes = re.findall(r"^- <class '(?!NoneType)\w+'>: (.+)$", message, re.MULTILINE)
    cause = str(causes[-1]) if causes else " ".join(message.split())
    for python_says, number in (
        (r"could not convert string to float: ('.*')", "a number such as 0.05"),
        (r"invalid literal for int\(\) with base 10: ('.*')", "a whole number"),
    ):
        if value := re.search(python_says, cause):
            return f"must be {number}, got {value[1]}"
    return cause


def _unknown(tokens: Sequence[str], flags: Sequence[str], verb: str) -> str:
    """About the first token that looks like a flag; "" when there is none."""
    for token in tokens:
        if token.startswith("--"):
            return _encoder_as_option([token], flags, verb) or (
                f"unknown option {token}{did_you_mean(token, flags)}"
            )
    return ""


def _encoder_as_option(tokens: Sequence[str], flags: Sequence[str], verb: str) -> str:
    """A message if --encoder was given to a verb whose first argument is the encoder; else ""."""
    if "--encoder-class" not in flags or all(word.split("=")[0] != "--encoder" for word in tokens):
        return ""
    return f"unknown option --encoder: the encoder comes first, as in `{verb} ENCODER …`"


def _missing_encoder(
    run: Callable[..., int], verb: str, words: Sequence[str], contexts: Sequence[Any]
) -> str:
    """A message if a positional argument is missing and the first is not an encoder; else ""."""
    lacks_argument = any(context.arg.is_positional() for context in contexts)
    return missing_encoder_hint(verb, words) if _takes_encoder_first(run) and lacks_argument else ""


def _takes_encoder_first(run: Callable[..., int]) -> bool:
    return tuple(inspect.signature(run).parameters)[:2] in ENCODER_FIRST


def _missing(contexts: Sequence[Any]) -> str:
    """A message with each argument that is missing, and its help."""
    messages = []
    for argument in (context.arg for context in contexts):
        text = argument.field.helptext
        text = text() if callable(text) else text
        name = _name(argument)
        if name.startswith("{"):
            messages.append(f"an action is missing, one of {name.strip('{}').replace(',', ', ')}")
        else:
            messages.append(f"{name} is missing" + (f" ({text})" if text else ""))
    return "; ".join(messages)


def _usage(run: Callable[..., int], verb: str, contexts: Sequence[Any]) -> str:
    """The order of a verb's positional arguments, if one of several is missing; else ""."""
    if not any(context.arg.is_positional() for context in contexts):
        return ""
    from tyro.conf import Positional

    hints = get_type_hints(run, include_extras=True)
    names = []
    for name, parameter in inspect.signature(run).parameters.items():
        metadata = getattr(hints[name], "__metadata__", ())
        if parameter.kind is not parameter.KEYWORD_ONLY and Positional in metadata:
            shown = [each.metavar for each in metadata if getattr(each, "metavar", None)]
            names.append(shown[0] if shown else name.upper())
    return f"; usage: {verb} {' '.join(names)}" if len(names) > 1 else ""


def _name(argument: Any) -> str:
    """An argument as in the help: ``--output FOLDER``, or ``SECOND``."""
    name, metavar = _short_name(argument), argument.lowered.metavar
    return name if argument.is_positional() or not metavar else f"{name} {metavar}"


def _short_name(argument: Any) -> str:
    lowered = argument.lowered
    return str(lowered.metavar if argument.is_positional() else lowered.name_or_flags[0])
