"""Progress of long jobs: what a terminal of any width shows, and what a log gets."""

from __future__ import annotations

import io
import threading
import time

import pytest
from rich.console import Console

from conftest import without_progress
from timbral.cli.long_recordings import clock_of
from timbral.io import progress
from timbral.io.progress import Display, bar, corpus_bar, fitting_bar, training_bar


def test_a_log_gets_lines_of_a_step_that_takes_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1.0)
    with bar("drawing"):
        time.sleep(1.3)
    assert capsys.readouterr().err == "drawing: 0  0:01\n"
    assert "progress" not in [thread.name for thread in threading.enumerate()]


def test_a_training_is_prepared_before_it_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that takes does not count for the time left."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1.0)
    with training_bar(4) as step:
        time.sleep(1.3)
        step(1, {})
        time.sleep(0.2)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
        step(2, {})
    first, last = capsys.readouterr().err.splitlines()
    assert first == "preparing the training: 0:01"
    assert last.startswith("training: 2 of 4  0:0")
    assert "0:00 left" in last


def test_a_log_gets_the_time_of_what_is_not_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1.0)
    with clock_of(599.0):
        assert "progress" not in [thread.name for thread in threading.enumerate()]
    with clock_of(7200.0) as advance:
        time.sleep(1.3)
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
        advance(3, 8)
    assert capsys.readouterr().err == "embedding: 0:01\nembedding: 37 %  0:01\n"


def test_a_fit_is_no_count_of_measured_recordings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with fitting_bar() as advance:
        advance(3, 9)
        advance(9, 9)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("measuring: 3 of 9  0:00")
    assert lines[1] == "fitting: 0:00"


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    """A training resumed at step 100 that is at step 300 after 200 seconds."""
    shown = Display("training")
    shown.update(100, 1_560_000)
    shown.update(
        300, 1_560_000, "loss 0.812  batch EER 12.1 %  validation EER 3.4 %  data wait 2 %"
    )
    monkeypatch.setattr(progress.time, "monotonic", lambda: shown.started + 200)
    return shown


@pytest.mark.parametrize("width", [50, 80, 200])
def test_step_and_time_left_always_fit(display: Display, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(display)
    first, second = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "300/1,560,000" in first
    assert "3:20  433:15:00 left" in first.replace("   ", "  ")
    assert first.startswith("training")
    assert max(len(first), len(second)) <= width
    assert second.startswith("loss 0.812  batch EER 12.1 %")


def test_progress_is_one_line(display: Display) -> None:
    assert display.line().startswith(
        "training: 300 of 1,560,000  3:20  433:15:00 left  loss 0.812  batch EER 12.1 %"
    )


def test_time_left_is_unknown_at_first() -> None:
    shown = Display("embedding")
    assert shown.line() == "embedding: 0  0:00"
    shown.update(7, 20)
    assert shown.line() == "embedding: 7 of 20  0:00"


def test_after_the_last_step_no_time_left_is_promised(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with training_bar(4) as step:
        step(0, {})
        step(4, {"loss": 1.5})
        step(4, {"weight_shares": 0.25})
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("training: 4 of 4  0:00  choosing the share of trained weights 25.0 %")


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with bar("preparing") as advance:
            advance(3, 10)
        with corpus_bar("embedding") as embedded:
            embedded(0, 20, 0.0, 0)
            embedded(10, 20, 7200.0, 1)
        with training_bar(4) as step:
            step(1, {"loss": 2.0, "batch_eer": 0.25})
            step(2, {"loss": 1.5})

    work()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    work()
    text = capsys.readouterr().err
    assert without_progress(text) == ""
    lines = text.splitlines()
    assert lines[0] == "preparing: 3 of 10  0:00"
    assert "10 of 20" in lines[2]
    assert "2.00 h of audio" in lines[2]
    assert "1 failed" in lines[2]
    assert "2 of 4" in lines[4]
    assert "loss 1.500  batch EER 25.0 %" in lines[4]
