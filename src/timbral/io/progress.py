"""Progress on a terminal; nothing where the output is not one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from timbral.io.types import StepProgress

__all__ = ["bar", "corpus_bar", "training_bar"]

SHOWN = {"batch_eer": "batch EER", "val_eer": "validation EER", "data_wait_fraction": "data wait"}


@contextmanager
def _progress(*columns: Any) -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with _progress(*columns, TimeElapsedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def corpus_bar(what: str) -> Iterator[Callable[[int, int, float, int], None]]:
    """Utterances, hours of audio, × real time, time left and failures on a terminal."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _progress(*columns, TimeRemainingColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("", total=None)
        started = time.monotonic()

        def report(done: int, total: int, seconds: float, failures: int) -> None:
            speed = seconds / max(time.monotonic() - started, 1e-3)
            text = f"{seconds / 3600:.2f} h  {speed:.0f} × real time  {failures:,} failed"
            progress.update(task, completed=done, total=total, description=text)

        yield report


@contextmanager
def training_bar(steps: int) -> Iterator[StepProgress]:
    """Step, loss, error rates, speed, time left and data wait on a terminal only."""
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown: dict[str, float] = {}
    with _progress(*columns, TimeRemainingColumn(), TextColumn("{task.description}")) as progress:
        task = progress.add_task("", total=steps)

        def report(step: int, values: Mapping[str, float]) -> None:
            shown.update(values)
            text = f"loss {shown['loss']:.3f}" if "loss" in shown else ""
            for key, name in SHOWN.items():
                if key in shown:
                    text += f"  {name} {100 * shown[key]:.1f} %"
            if shown.get("seconds"):
                text += f"  {step / shown['seconds']:.2f} steps/s"
            progress.update(task, completed=step, description=text)

        yield report
