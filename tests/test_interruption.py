"""Ctrl-C and SIGTERM at any moment: one line, an exit code, no process left behind."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from conftest import LAYOUT_LINE
from timbral.cli.interruption import Interruption, run_interruptibly
from timbral.data.prepared.store import Store
from timbral.io.processes import without_interrupts

LINES = {
    signal.SIGINT: "interrupted; what is finished is kept\n",
    signal.SIGTERM: "terminated; what is finished is kept\n",
}
Ready = Callable[[int], bool]
"""whether the process with this id is where it is to be interrupted"""


def interrupt(number: signal.Signals, ready: Ready, *words: object) -> tuple[int, str]:
    """Start a verb and signal its process group, as a terminal does; exit code and last words."""
    with subprocess.Popen(
        [sys.executable, "-m", "timbral", *map(str, words)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        # A shell lets its jobs in the background ignore Ctrl-C, and pytest may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        while not ready(process.pid):
            assert process.poll() is None, "it ended before it could be interrupted"
            time.sleep(0.005)
        os.killpg(process.pid, number)
        try:
            _, shown = process.communicate(timeout=60)
        finally:
            if process.returncode is None:  # it did not end: its workers would be left
                os.killpg(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while left := running(process.pid):  # a worker notices the end of its parent
        assert time.monotonic() < deadline, left
        time.sleep(0.01)
    return process.returncode, re.sub(LAYOUT_LINE, "", shown, flags=re.M)


def running(group: int) -> list[str]:
    """Processes of a group, but for those that ended and that nobody has asked about."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:  # it has just ended
            continue
        state, _, process_group = rest.split()[:3]
        if int(process_group) == group and state not in "ZX":
            found.append(name)
    return found


def maps(library: str) -> Ready:
    """Ready when a library is loaded, which Python is then importing."""

    def ready(pid: int) -> bool:
        return library in Path(f"/proc/{pid}/maps").read_text()

    return ready


def starts_workers(pid: int) -> bool:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return any(b"spawn_main" in command_line(child) for child in children)


def command_line(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


@pytest.mark.parametrize("number", LINES)
def test_signal_while_torch_is_imported(number: signal.Signals, tmp_path: Path) -> None:
    """C code of torch and numpy answers an exception in its own way, or passes over it."""
    words = ["verify", tmp_path, __file__, __file__]
    assert interrupt(number, maps("libtorch_cpu"), *words) == (128 + number, LINES[number])


def test_nothing_is_imported_before_ctrl_c_is_answered() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport timbral.__main__\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(imported) <= {"__future__", "timbral", "timbral.__main__", "timbral.version"}


def test_ctrl_c_while_its_answer_is_imported() -> None:
    code = (
        "import signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'timbral.cli.interruption':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "import timbral.__main__\n"
        "sys.meta_path.insert(0, Finder())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "timbral.__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, LINES[signal.SIGINT])


ONE_QUICK = [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]


@pytest.mark.parametrize("number", ONE_QUICK)
def test_signal_while_workers_of_embed_start(
    number: signal.Signals, run: Path, voices: Path, tmp_path: Path
) -> None:
    words = ["embed", run, voices, "--output", tmp_path / "out", "--workers", "2"]
    assert interrupt(number, starts_workers, *words) == (128 + number, LINES[number])


@pytest.mark.parametrize("number", ONE_QUICK)
def test_signal_while_workers_of_prepare_start(
    number: signal.Signals, voices: Path, tmp_path: Path
) -> None:
    words = ["prepare", voices, "--output", tmp_path / "out", "--workers", "2"]
    assert interrupt(number, starts_workers, *words) == (128 + number, LINES[number])


@pytest.mark.slow
@pytest.mark.parametrize("number", LINES)
def test_signal_while_workers_of_train_start(
    number: signal.Signals, store: Store, tmp_path: Path
) -> None:
    words = ["train", "tdnn-ge2e-small", "--data", store.folder, "--output", tmp_path / "out"]
    small = ["--opts", "data.speakers_per_batch", "4", "data.utterances_per_speaker", "3"]
    words += ["--device", "cpu", "--workers", "2", "--validation-speakers", "0", *small]
    assert interrupt(number, starts_workers, *words) == (128 + number, LINES[number])


@pytest.fixture
def handlers() -> Iterator[None]:
    """What Python does at a signal, also where a shell without a terminal started it; put back."""
    before = {number: signal.getsignal(number) for number in (*LINES, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ends_with(main: Callable[[], int]) -> object:
    with pytest.raises(SystemExit) as ended:
        run_interruptibly(main)
    return ended.value.code


@pytest.mark.parametrize("number", LINES)
def test_signal_is_an_exception_once(
    number: signal.Signals, handlers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        with pytest.raises(Interruption):
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL, "the next one ends the process"
        raise Interruption(number)

    assert ends_with(work) == 128 + number
    assert capsys.readouterr().err == LINES[number]


@pytest.mark.parametrize("number", LINES)
def test_signal_where_c_has_called_python(
    number: signal.Signals, handlers: None, capfd: pytest.CaptureFixture[str]
) -> None:
    """As LLVM does while numba compiles: ctypes prints an exception there, and passes over it."""

    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def within() -> int:
        signal.raise_signal(number)
        return 0

    def work(call: Callable[[], object]) -> int:
        call()
        time.sleep(5)
        return 0

    for call in (ctypes.CFUNCTYPE(ctypes.c_int)(within), Destroyed):
        assert ends_with(partial(work, call)) == 128 + number
        signal.signal(number, signal.default_int_handler)
        assert capfd.readouterr().err == LINES[number]
    assert sys.unraisablehook.__module__ != Interruption.__module__


@pytest.mark.parametrize("number", LINES)
@pytest.mark.parametrize("taken", [False, True])
def test_signal_while_python_ends(number: signal.Signals, taken: bool) -> None:
    """Modules as large as numba and torch take half a second; a second signal says no more."""
    code = (
        "import atexit, signal\n"
        "from timbral.cli.interruption import run_interruptibly\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in a background job
        f"atexit.register(signal.raise_signal, {number.value})\n"
        f"run_interruptibly(lambda: signal.raise_signal({number.value}) if {taken} else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    ended = -number if taken else 128 + number
    assert (done.returncode, done.stderr) == (ended, LINES[number])


def test_interruption_of_which_c_makes_another_exception() -> None:
    """As torch does while it makes a tensor of a storage: no crash is reported."""
    code = (
        "import signal, sys\n"
        "from timbral import __main__\n"
        "from timbral.cli import main\n"
        "def verb(words):\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        "    raise ValueError('could not determine the shape of object type')\n"
        "main._run = verb\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, LINES[signal.SIGINT])


def test_ignored_signal_stays_ignored(handlers: None) -> None:
    """As it is in jobs that a shell has started in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def work() -> int:
        signal.raise_signal(signal.SIGINT)
        return 0

    assert ends_with(work) == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_interrupt_is_held_back_whichever_thread_gets_it(handlers: None) -> None:
    """The mask is one thread's; the kernel gives the signal to any other that has none."""
    finished, reached = threading.Event(), False
    thread = threading.Thread(target=finished.wait)
    thread.start()
    with pytest.raises(KeyboardInterrupt), without_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        reached = True
    finished.set()
    thread.join()
    assert reached
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, set())
