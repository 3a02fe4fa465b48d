"""Ctrl-C and SIGTERM: one line, an exit code, and nothing half done.

Where Python imports a module the process ends at once: nothing is in work there, and the C code of
numpy or torch would swallow an exception (or print it) instead of passing it on. Anywhere else the
exception `Interruption` runs through the verb, which removes its temporary files and ends its
workers. Where C has called Python (LLVM's compiler, destructors) an exception is lost; it is raised
again a moment later; where C makes another exception of it, that one is answered as it would have
been. Where Python ends, after the verb's work is done, the line is printed, too. A second signal
ends the process as it would end any other.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False
"""for type checkers it is true; little is imported before signals are answered"""
if TYPE_CHECKING:
    from collections.abc import Callable
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import NoReturn

__all__ = ["Interruption", "answer", "leave", "received", "run_interruptibly"]

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
IMPORTING = "<frozen importlib._bootstrap>"
"""the file of the frames in which Python imports"""
MOMENT = 0.005
"""seconds, after which C has returned from where it called Python"""


_raised: list[Interruption] = []
"""by a signal, of which there is one process"""


class Interruption(KeyboardInterrupt):
    """A signal that asks the process to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.number = number


def run_interruptibly(main: Callable[[], int]) -> NoReturn:
    """Run `main` and exit with its code; a signal is answered from now on.

    Signals that the caller has told this process to ignore, as shells do for jobs in the
    background, stay ignored. Under torchrun, which ends its processes by SIGTERM, that stays as it
    is: one that waits in C for a peer would not come to answer it.
    """
    numbers = [signal.SIGINT] if "RANK" in os.environ else list(WORDS)
    taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    for number in taken:
        signal.signal(number, _interrupt)
    _raised.clear()
    sys.unraisablehook, report = _again_if_lost(sys.unraisablehook), sys.unraisablehook
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
    """The interruption that was raised, also where C code made another exception of it."""
    return _raised[-1] if _raised else None


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    if _is_importing(frame):
        _end(number, frame)
    _raised.append(Interruption(number))
    raise _raised[-1]


def leave(code: int) -> NoReturn:
    """End an interrupted process without taking apart what it has loaded.

    LLVM, stopped while it compiled, crashes when that is done. What is registered for the end,
    such as the removal of temporary folders, is done.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader is gone, or it is closed
            stream.flush()
    os._exit(code)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Say it and end the process at once."""
    os.write(2, f"{_line(number)}\n".encode())
    os._exit(128 + number)


def _again_if_lost(
    report: Callable[[UnraisableHookArgs], object],
) -> Callable[[UnraisableHookArgs], object]:
    """A hook for exceptions that nobody can catch; all but interruptions are reported as before."""

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
