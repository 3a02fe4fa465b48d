"""The entry point: which verb, which exit code."""

from __future__ import annotations

import os
import select
import sys
import warnings
from collections.abc import Sequence

from timbral.cli.crash import describe_crash
from timbral.cli.help import HELP
from timbral.cli.verb_table import VERBS, load_verb
from timbral.cli.wording import name_flags
from timbral.errors import ConfigError, TimbralError, did_you_mean
from timbral.version import __version__

__all__ = ["main", "parse"]

OK, USAGE, CRASHED, INTERRUPTED = 0, 2, 70, 130


def main() -> None:
    """Exit code 0 done, 1 some recordings could not be used, 2 a mistake or a full disk, 70 an
    error that nobody foresaw, 130 interrupted."""
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    words = sys.argv[1:]
    try:
        code = _run(words)
        sys.stdout.flush()
    except (TimbralError, OSError) as error:  # OSError: full disk, no permission
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            sys.exit(OK)
        print(f"error: {name_flags(str(error), words[:1])}", file=sys.stderr)
        code = USAGE
    except Exception as error:
        print(f"error: {describe_crash(error, ' '.join(words[:1]))}", file=sys.stderr)
        code = CRASHED
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    if not words:
        print(HELP, end="", file=sys.stderr)
        return USAGE
    if words[0] in ("-h", "--help"):
        print(HELP, end="")
        return OK
    if words[0] in ("-V", "--version"):
        print(f"timbral {__version__}")
        return OK
    if words[0].startswith("--tyro-"):
        return _print_completion(words)
    from timbral.compat.command_lines import translate

    verb, *rest = translate(words)
    if verb not in VERBS:
        raise ConfigError(f"unknown verb {verb!r}{did_you_mean(verb, VERBS)}")
    return parse(verb, rest)


def parse(verb: str, words: Sequence[str]) -> int:
    """Run a verb with these options; SystemExit after ``--help`` and for wrong ones."""
    import tyro  # takes as long as all the rest of `timbral --help`

    options = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(load_verb(verb), prog=f"timbral {verb}", args=words, config=options)


def _print_completion(words: Sequence[str]) -> int:
    """Answer ``--tyro-print-completion SHELL``, for which all verbs are loaded."""
    import tyro

    verbs = {name: load_verb(name) for name in VERBS}
    options = (tyro.conf.FlagCreatePairsOff,)
    tyro.extras.subcommand_cli_from_dict(verbs, prog="timbral", args=words, config=options)
    return OK


def _reader_is_gone() -> bool:
    """Whether nobody reads standard output any more, as behind ``| head``."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    return True
