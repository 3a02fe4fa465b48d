"""Progress of long jobs on standard error: a live display on a terminal, else occasional lines.

    training  ━━━━━━━━━━━━━━━━━━          120/2,000  3:20  52:13 left
    loss 0.812  batch EER 12.1 %  0.60 steps/s

The upper line always fits: the bar gives way, step and time left never do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from timbral.io.durations import duration

if TYPE_CHECKING:
    from timbral.io.types import Progress, StepProgress

__all__ = ["Display", "bar", "clock", "corpus_bar", "fitting_bar", "training_bar"]

SECONDS_BETWEEN_LINES = 30.0
"""if standard error is not a terminal"""
BAR_WIDTH = 40
PERCENTAGES = {
    "batch_eer": "batch EER",
    "val_eer": "validation EER",
    "val_old_eer": "old voices EER",
    "data_wait_fraction": "data wait",
    "teacher_vectors": "teacher's vectors",
}
"""numbers of a training that are shown as percentages"""
CHOOSING = "choosing the share of trained weights"
"""what a training with old voices does after its last step"""


class Display:
    """State of a job: done of total, time elapsed and left, and details.

    counted: whether the job counts its work; if not, the time is shown, and the percentage if the
    job knows its total.
    """

    def __init__(self, what: str, *, counted: bool = True) -> None:
        self.what = what
        self.counted = counted
        self.done = 0
        self.total: int | None = None
        self.details = ""
        self.started = self._begun = time.monotonic()
        """when the job and its counted work began"""
        self._done_before = 0
        """work done by an earlier run, which the estimated time left does not include"""

    def update(self, done: int, total: int, details: str = "") -> None:
        """Take new numbers; the first call gives what an earlier run had done."""
        if self.total is None:
            self._done_before = done
        if done == self._done_before:
            self._begun = time.monotonic()
        self.done, self.total, self.details = done, total, details

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def per_second(self) -> float:
        """Rate per second of this run, without what it prepared before; 0 at first."""
        return (self.done - self._done_before) / max(time.monotonic() - self._begun, 1e-9)

    @property
    def left(self) -> str:
        """The estimated time left, in words; none when all is done, for work may follow it."""
        if self.total is None or self.done >= self.total or not self.per_second:
            return ""
        return f"{_clock((self.total - self.done) / self.per_second)} left"

    def _count(self, of: str) -> str:
        if not self.counted:
            return "" if self.total is None else f"{100 * self.done // self.total} %"
        return f"{self.done:,}" if self.total is None else f"{self.done:,}{of}{self.total:,}"

    def line(self) -> str:
        """Everything in one line of text."""
        words = [self._count(" of "), _clock(self.elapsed), self.left, self.details]
        return f"{self.what}: {'  '.join(word for word in words if word)}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        words = [self._count("/"), _clock(self.elapsed), self.left]
        room = options.max_width - sum(len(word) + 2 for word in (self.what, *words))
        bar = ProgressBar(self.total, self.done, max(0, min(BAR_WIDTH, room)))
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_row(self.what, bar, *words)
        yield grid
        yield Text(self.details, no_wrap=True, overflow="ellipsis")


def _clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def _shown(display: Display, *, transient: bool = False) -> Iterator[Callable[[], None]]:
    """Show a display while the block runs; yields a function to call after each update."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Live(display, console=console, refresh_per_second=4, transient=transient):
            yield lambda: None  # it is drawn again by itself
        return
    last = display.started
    printing, ended = threading.Lock(), threading.Event()

    def print_line() -> None:
        nonlocal last
        with printing:
            if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                console.print(Text(display.line()), soft_wrap=True)

    def print_lines() -> None:
        while not ended.wait(max(SECONDS_BETWEEN_LINES, 1.0)):
            print_line()

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()  # a step may take minutes without a call
    try:
        yield print_line
    finally:
        ended.set()
        thread.join()


@contextmanager
def clock(what: str) -> Iterator[Progress]:
    """Show how long the block has been running, and what part is done if it says so.

    Yields a function of done and total. The block must not write to standard output, because that
    would disturb the display.
    """
    display = Display(what, counted=False)
    with _shown(display, transient=True) as show:

        def update(done: int, total: int) -> None:
            display.update(done, total)
            show()

        yield update


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of a count: a function of done and total."""
    display = Display(what)
    with _shown(display) as show:

        def update(done: int, total: int) -> None:
            display.update(done, total)
            show()

        yield update


@contextmanager
def fitting_bar() -> Iterator[Progress]:
    """Progress of a fit: a function of the recordings measured for it, and in all.

    Without calls and after the last recording, the time of the fit is shown.
    """
    display = Display("fitting", counted=False)
    with _shown(display) as show:

        def update(done: int, total: int) -> None:
            display.update(done, total)
            display.counted = done < total
            display.what = "measuring" if display.counted else "fitting"
            if not display.counted:
                display.total = None
            show()

        yield update


@contextmanager
def corpus_bar(what: str) -> Iterator[Callable[[int, int, float, int], None]]:
    """Progress of embedding: a function of utterances done, total, seconds of audio, failures."""
    display = Display(what)
    with _shown(display) as show:

        def update(done: int, total: int, seconds: float, failures: int) -> None:
            speed = seconds / max(display.elapsed, 1e-3)
            details = f"{duration(seconds)} of audio  {speed:.0f} × real time"
            display.update(done, total, f"{details}  {failures:,} failed")
            show()

        yield update


@contextmanager
def training_bar(steps: int) -> Iterator[StepProgress]:
    """Progress of a training of `steps` steps: a function of the step and its numbers.

    Until its first call the training is being prepared.
    """
    display = Display("preparing the training", counted=False)
    latest: dict[str, float] = {}
    with _shown(display) as show:

        def update(step: int, values: Mapping[str, float]) -> None:
            display.what, display.counted = "training", True
            latest.pop("teacher_vectors", None)
            latest.update(values)
            words = [f"loss {latest['loss']:.3f}"] if "loss" in latest else []
            words += [
                f"{PERCENTAGES[key]} {100 * latest[key]:.1f} %"
                for key in PERCENTAGES
                if key in latest
            ]
            display.update(step, steps, "  ".join(words))
            if "weight_shares" in latest:  # after the last step
                display.details = f"{CHOOSING} {100 * latest['weight_shares']:.1f} %"
            elif display.per_second:
                display.details += f"  {display.per_second:.2f} steps/s"
            show()

        yield update
