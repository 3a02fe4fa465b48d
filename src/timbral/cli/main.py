"""The entry point: finds the verb, runs it and returns an exit code."""

from __future__ import annotations

import os
import select
import sys
import warnings
from collections.abc import Sequence

from timbral.cli.crash import describe_crash
from timbral.cli.empty_words import refuse_empty_words
from timbral.cli.help import HELP
from timbral.cli.interruption import answer, received
from timbral.cli.parse_errors import parse_errors_in_one_line
from timbral.cli.verb_table import VERBS, load_verb
from timbral.cli.word_order import options_last
from timbral.cli.wording import name_flags
from timbral.errors import AudioError, ConfigError, TimbralError, did_you_mean
from timbral.version import __version__

__all__ = ["main", "parse", "run"]

OK, UNUSABLE, USAGE, CRASHED = 0, 1, 2, 70
NO_TORCH = "timbral {}: needs torch here, which is not installed; install it"


def main() -> None:
    """Run the verb that the command line names, and exit with the code from `run`."""
    sys.exit(run())


def run() -> int:
    """Run the verb that the command line names; returns the exit code.

    0 done, 1 some recordings could not be used, 2 a mistake or a full disk, 70 an unexpected error,
    130 interrupted, 143 terminated.
    """
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    words = sys.argv[1:]
    try:
        code = _run(words)
        sys.stdout.flush()
    except Exception as error:
        interruption = received()
        return _report(error, words) if interruption is None else answer(interruption)
    except KeyboardInterrupt as error:
        return answer(error)
    return code


def _report(error: Exception, words: Sequence[str]) -> int:
    """Print a line about what went wrong; returns the exit code."""
    if isinstance(error, TimbralError | OSError):  # OSError: full disk, no permission
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return OK
        message = _system_error(error) if isinstance(error, OSError) else str(error)
        print(f"error: {name_flags(message, words[0] if words else '')}", file=sys.stderr)
        return UNUSABLE if isinstance(error, AudioError) else USAGE
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        print(f"error: {NO_TORCH.format(' '.join(words[:1]))}", file=sys.stderr)
        return USAGE
    print(f"error: {describe_crash(error, ' '.join(words[:1]))}", file=sys.stderr)
    return CRASHED


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
        raise ConfigError(f"unknown command {verb!r}{did_you_mean(verb, VERBS)}")
    return parse(verb, rest)


def parse(verb: str, words: Sequence[str]) -> int:
    """Run a verb with these options; SystemExit after ``--help``, ConfigError for wrong ones."""
    import tyro  # takes as long as everything else in `timbral --help`

    refuse_empty_words(words)
    run_verb = load_verb(verb)
    options = (tyro.conf.FlagCreatePairsOff,)
    if asked := {"-h", "--help"}.intersection(words):
        words = list(asked)[:1]  # after other words, tyro omits the options that were given
    words = options_last(run_verb, words)
    with parse_errors_in_one_line(run_verb, words):
        return tyro.cli(run_verb, prog=f"timbral {verb}", args=words, config=options)


def _print_completion(words: Sequence[str]) -> int:
    """Answer ``--tyro-print-completion SHELL``, for which all verbs are loaded."""
    import tyro

    verbs = {name: load_verb(name) for name in VERBS}
    options = (tyro.conf.FlagCreatePairsOff,)
    tyro.extras.subcommand_cli_from_dict(verbs, prog="timbral", args=words, config=options)
    return OK


def _system_error(error: OSError) -> str:
    """The message of an error of the operating system, with its files and without its number."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' and '.join(names)}: {reason}" if names else reason


def _reader_is_gone() -> bool:
    """Whether the reader of standard output has closed it, as ``| head`` does."""
    output = select.poll()
    output.register(sys.stdout, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in output.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    return True
