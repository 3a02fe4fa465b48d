"""Ctrl-C and SIGTERM: one line, an exit code, and no partial results.

What a signal does depends on where it arrives:

- **While a module is imported** the process ends at once. No work is in progress, and the C code of
  numpy or torch would swallow or print an exception instead of propagating it.
- **In a verb** the exception `Interruption` is raised. The verb removes its temporary files and
  ends its workers.
- **In Python code that C called** (LLVM's compiler, destructors) an exception is lost, so it is
  raised again a moment later. If C code raises another exception in its place, that one is handled
  as the interruption.
- **After the verb**, while Python shuts down, the line is printed and the process ends.

A second signal has the default effect: it kills the process.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False
"""True for type checkers; as little as possible is imported before signals are handled"""
if TYPE_CHECKING:
    from collections.abc import Callable
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import NoReturn

__all__ = ["Interruption", "answer", "leave", "received", "run_interruptibly"]

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
IMPORTING = "<frozen importlib._bootstrap>"
"""file name of the frames in which Python imports a module"""
MOMENT = 0.005
"""seconds, after which the C code that called Python has returned"""


_raised: list[Interruption] = []
"""the interruption that a signal raised; global, because signals are sent to the process"""


class Interruption(KeyboardInterrupt):
    """A signal that asks the process to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


def run_interruptibly(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its code; from now on signals are handled.

    Signals that the caller has told this process to ignore, as shells do for background jobs, stay
    ignored. Under torchrun, which ends its processes by SIGTERM, that signal keeps its default
    effect: a process that waits in C code for a peer could not run a handler.
    """
    numbers = [signal.SIGINT] if "RANK" in os.environ else list(WORDS)
    taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, _interrupt)
    _raised.clear()
    sys.unraisablehook, report = _raising_again(sys.unraisablehook), sys.unraisablehook
    try:
        code = main()
    except KeyboardInterrupt as error:
        code = answer(error)
    _raised.clear()
    sys.unraisablehook = report
    for number in taken:  # Python takes a while to exit, and nothing catches exceptions then
        untouched = signal.getsignal(number) == _interrupt
        signal.signal(number, _end if untouched else signal.SIG_DFL)
    sys.exit(code)


def answer(error: KeyboardInterrupt) -> int:
    """Print the line of an interruption; returns the exit code."""
    number = error.number if isinstance(error, Interruption) else signal.SIGINT
    print(_line(number), file=sys.stderr)
    return 128 + number


def received() -> Interruption | None:
    """The interruption that was raised, even if C code replaced it by another exception."""
    return _raised[-1] if _raised else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    if _is_importing(frame):
        _end(number, frame)
    _raised.append(Interruption(number))
    raise _raised[-1]


def leave(code: int) -> NoReturn:
    """End an interrupted process without unloading its libraries.

    LLVM crashes when it is unloaded after it was stopped while compiling. Functions registered with
    `atexit`, such as the removal of temporary folders, still run.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader is gone, or it is closed
            stream.flush()
    os._exit(code)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Print the line of an interruption and end the process at once."""
    os.write(2, f"{_line(number)}\n".encode())
    os._exit(128 + number)


def _raising_again(
    report: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], object]:
    """A hook for unraisable exceptions: it raises interruptions again, and reports all others."""

    def hook(lost: UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, Interruption):
            report(lost)
            return
        number = lost.exc_value.number

        def again(received: int, frame: FrameType | None) -> None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            _interrupt(number, frame)

        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, MOMENT)

    return hook


def _line(number: int) -> str:
    return f"{WORDS[signal.Signals(number)]}; what is finished is kept"


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False
