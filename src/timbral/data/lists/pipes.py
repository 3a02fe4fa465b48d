"""Read Kaldi's pipes as data: the file, channel, rate and seconds that a known command stands for.

Nothing is run. A wav.scp may have a recording like ``sph2pipe -f wav -p -c 1 a.sph |``: the
commands that Kaldi's recipes write there select parts of a file or change its rate, which timbral
does itself. Only their harmless options are known; anything else is refused by name.

    sph2pipe [-f wav|rif] [-p] [-c 1|2] FILE
    flac -c -d -s FILE            (-dc, -cds, --decode --stdout --silent)
    ffmpeg -i FILE [-ss S] [-t S] [-to S] [-ar HZ] [-ac 1] -f wav -
    sox [-v GAIN] FILE [-r HZ] [-c 1] -t wav - [remix N] [rate HZ] [speed X] [trim S [S]]
    cat FILE

and chains of them, such as ``sph2pipe … | sox -t wav - -r 16000 -t wav - |``.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from pathlib import PurePosixPath

from timbral.audio.segments import Segment

__all__ = ["is_pipe", "parse_pipe"]

STDIO = "-"
"""the name for standard input or output"""
PIPED = ("-", "pipe:0", "pipe:1", "pipe:", "/dev/stdin", "/dev/stdout")
SHELL = re.compile(r"[$`\\\n]")
MAX_RATE = 768_000


def is_pipe(location: str) -> bool:
    """Whether an entry of a wav.scp is a command."""
    return location.startswith("|") or location.endswith("|")


def parse_pipe(location: str) -> Segment:
    """What a pipe returns: a file (`Segment.file`, as written there), and the part taken of it.

    Raises ValueError, with the reason, for a command that is not known.
    """
    *commands, after = _commands(location)
    if after or not commands:
        raise ValueError("nothing may follow the last |")
    first, *others = [_taken(command, number > 0) for number, command in enumerate(commands)]
    return reduce(_after, others, first)


def _commands(location: str) -> list[list[str]]:
    """The words of each command between ``|``, as a shell would split them."""
    if SHELL.search(location) or not location.endswith("|"):
        raise ValueError("a pipeline must end in | and must not contain shell syntax")
    lexer = shlex.shlex(location, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        elif set(word) <= set("();<>|&"):
            raise ValueError(f"{word!r} is shell syntax, and no shell is run")
        else:
            commands[-1].append(word)
    return commands


def _taken(command: list[str], reads_pipe: bool) -> Segment:
    """What one command selects from its file, or from the pipe before it."""
    if not command:
        raise ValueError("a command is missing before |")
    program = PurePosixPath(command[0]).name
    if program not in PROGRAMS:
        raise ValueError(f"{program} is not one of the commands understood: {', '.join(PROGRAMS)}")
    taken = PROGRAMS[program](command[1:])
    if (taken.file == STDIO) != reads_pipe:
        raise ValueError(f"{program} should read {'the pipe' if reads_pipe else 'a file'}")
    return taken


def _after(first: Segment, then: Segment) -> Segment:
    """Two consecutive commands as one; ValueError if that cannot be expressed."""
    if then.start or then.end != math.inf:
        raise ValueError("seconds are cut after another command")
    if first.rate is not None and (then.rate is not None or then.speed != 1):
        raise ValueError("the rate is changed twice")
    if first.channel is not None and then.channel not in (None, 0):
        raise ValueError("a second channel is selected where only one is left")
    return replace(
        first,
        channel=first.channel if first.channel is not None else then.channel,
        rate=then.rate if then.rate is not None else first.rate,
        speed=first.speed * then.speed,
        gain=first.gain * then.gain,
    )


def _number(text: str | None, what: str, least: float = 0.0) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise ValueError(f"{what} should be a number, got {text!r}") from None
    if not least <= value < 1e6:
        raise ValueError(f"{what} cannot be {text}")
    return value


def _rate(text: str | None) -> int:
    if text and text.lower().endswith("k"):
        return round(1000 * _number(text[:-1], "a rate", 1))
    rate = round(_number(text, "a rate", 1))
    if rate > MAX_RATE:
        raise ValueError(f"a rate cannot be {text}")
    return rate


def _file(names: list[str], program: str) -> str:
    if len(names) != 1:
        raise ValueError(f"{program} should name one file, got {len(names)}")
    return STDIO if names[0] in PIPED else names[0]


def _sph2pipe(words: list[str]) -> Segment:
    """``-f wav`` and ``-p`` change how the samples are written, ``-c N`` takes a channel."""
    names, channel = [], None
    rest = iter(words)
    for word in rest:
        if word == "-f":
            if next(rest, "") not in ("wav", "rif", "sph"):
                raise ValueError("sph2pipe writes -f wav")
        elif word == "-c":
            channel = round(_number(next(rest, None), "a channel", 1)) - 1
        elif word.startswith("-") and word != "-p":
            raise ValueError(f"the option {word} of sph2pipe is not understood")
        elif word != "-p":
            names.append(word)
    return Segment(_file(names, "sph2pipe"), channel=channel)


FLAC_WORDS = {"--decode", "--stdout", "--silent", "--totally-silent", "-d", "-c", "-s"}


def _flac(words: list[str]) -> Segment:
    options = {word for word in words if word.startswith("-") and word != STDIO}
    letters = {letter for word in options if not word.startswith("--") for letter in word[1:]}
    long = {word for word in options if word.startswith("--")}
    if not letters <= set("cds") or not long <= FLAC_WORDS:
        raise ValueError(f"the options {' '.join(sorted(options))} of flac are not understood")
    if not ("d" in letters or "--decode" in long):
        raise ValueError("flac without -d would encode")
    return Segment(_file([word for word in words if word not in options], "flac"))


def _cat(words: list[str]) -> Segment:
    if any(word.startswith("-") for word in words):
        raise ValueError("options of cat are not understood")
    return Segment(_file(words, "cat"))


FFMPEG_PLAIN = {"-hide_banner", "-nostdin", "-nostats", "-y", "-vn", "-sn", "-dn", "-bitexact"}
FFMPEG_VALUES = {"-ss", "-t", "-to", "-ar", "-ac"}
FFMPEG_IGNORED = {"-f", "-acodec", "-codec:a", "-c:a", "-v", "-loglevel", "-threads", "-map"}


def _ffmpeg(words: list[str]) -> Segment:
    names, outputs, values = _ffmpeg_options(words)
    if len(outputs) != 1 or outputs[0] not in PIPED:
        raise ValueError("ffmpeg should write to -")
    if values.get("-ac", "1") not in ("1", "2"):
        raise ValueError("ffmpeg may mix to one channel (-ac 1) or keep two")
    start = _number(values["-ss"], "-ss") if "-ss" in values else 0.0
    end = math.inf
    if "-t" in values:
        end = start + _number(values["-t"], "-t")
    elif "-to" in values:
        end = _number(values["-to"], "-to")
    rate = _rate(values["-ar"]) if "-ar" in values else None
    return Segment(_file(names, "ffmpeg"), start, end, rate=rate)


def _ffmpeg_options(words: list[str]) -> tuple[list[str], list[str], dict[str, str | None]]:
    """Inputs, outputs, and the values of the options in `FFMPEG_VALUES`."""
    names: list[str] = []
    outputs: list[str] = []
    values: dict[str, str | None] = {}
    rest = iter(words)
    for word in rest:
        if word == "-i":
            names.append(next(rest, ""))
        elif word in FFMPEG_VALUES and word not in values:
            values[word] = next(rest, None)
        elif word in FFMPEG_IGNORED:
            next(rest, None)
        elif word.startswith("-") and word != STDIO and word not in FFMPEG_PLAIN:
            raise ValueError(f"the option {word} of ffmpeg is not understood, or is given twice")
        elif word not in FFMPEG_PLAIN:
            outputs.append(word)
    return names, outputs, values


SOX_VALUES = {"-t", "-b", "-e", "-r", "-c", "-v", "--vol"}
SOX_PLAIN = {"-q", "-s", "-V0", "-V1", "-V2", "-D", "-R", "-V", "-2", "-4", "-G"}


def _sox(words: list[str]) -> Segment:
    names, options, effects = _sox_options(words)
    if len(names) != 2 or names[1] not in PIPED:
        raise ValueError("sox should read a file and write to -")
    gain, rate = 1.0, None
    for name, value, of_output in options:
        if name in ("-v", "--vol"):
            gain *= _number(value, "a volume")
        elif name == "-r" and of_output:  # before the input, it is the rate of raw samples
            rate = _rate(value)
        elif name == "-c" and of_output and value not in ("1", "2"):
            raise ValueError("sox may mix to one channel (-c 1) or keep two")
    return _with_effects(Segment(_file(names[:1], "sox"), rate=rate, gain=gain), effects)


def _sox_options(words: list[str]) -> tuple[list[str], list[tuple[str, str, bool]], list[str]]:
    """Files, options (name, value, whether it stands after the input), and the effects."""
    names: list[str] = []
    options: list[tuple[str, str, bool]] = []
    rest = iter(words)
    while len(names) < 2 and (word := next(rest, None)) is not None:
        if word in SOX_VALUES:
            options.append((word, next(rest, ""), bool(names)))
        elif not word.startswith("-") or word in PIPED:
            names.append(word)
        elif word not in SOX_PLAIN:
            raise ValueError(f"the option {word} of sox is not understood")
    return names, options, list(rest)


def _with_effects(segment: Segment, words: list[str]) -> Segment:
    """Effects of sox, in their order, each at most once."""
    seen: set[str] = set()
    while words:
        name, *words = words
        if name not in EFFECTS or name in seen:
            raise ValueError(f"the effect {name} of sox is not understood, or is given twice")
        seen.add(name)
        count = next((n for n, word in enumerate(words) if word in EFFECTS), len(words))
        segment = EFFECTS[name](segment, words[:count])
        words = words[count:]
    return segment


def _one(words: list[str], effect: str) -> str:
    plain = [word for word in words if not re.fullmatch(r"-[a-zA-Z]+", word)]
    if len(plain) != 1:
        raise ValueError(f"the effect {effect} of sox should have one value, got {words}")
    return plain[0]


def _remix(segment: Segment, words: list[str]) -> Segment:
    if words in (["-"], ["1,2"], ["1-2"]):
        return segment
    channel = round(_number(_one(words, "remix"), "a channel", 1)) - 1
    return replace(segment, channel=channel)


def _trim(segment: Segment, words: list[str]) -> Segment:
    if not 1 <= len(words) <= 2 or segment.speed != 1:
        raise ValueError(f"trim {' '.join(words)} of sox is not understood")
    start = _number(words[0], "a start")
    end = math.inf
    if len(words) == 2:
        last = words[1]
        end = _number(last[1:], "an end") if last.startswith("=") else start + _number(last, "it")
    return replace(segment, start=start, end=end)


def _speed(segment: Segment, words: list[str]) -> Segment:
    return replace(segment, speed=_number(_one(words, "speed"), "a speed", 0.1))


EFFECTS: Mapping[str, Callable[[Segment, list[str]], Segment]] = {
    "remix": _remix,
    "channels": lambda segment, words: segment,
    "rate": lambda segment, words: replace(segment, rate=_rate(_one(words, "rate"))),
    "speed": _speed,
    "trim": _trim,
    "vol": lambda segment, words: replace(
        segment, gain=segment.gain * _number(_one(words, "vol"), "a volume")
    ),
    "dither": lambda segment, words: segment,
}
PROGRAMS: Mapping[str, Callable[[list[str]], Segment]] = {
    "sph2pipe": _sph2pipe,
    "flac": _flac,
    "ffmpeg": _ffmpeg,
    "sox": _sox,
    "cat": _cat,
}
