"""How many cores a container has, and what the command tells torch's threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from timbral.io import cores
from timbral.io.cores import share_cores, threads_are_chosen, usable_cores


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """64 cores, and an environment that says nothing; returns the folder of control groups."""
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("200000 100000\n", 2),
        ("250000 100000\n", 3),
        ("50000 100000\n", 1),
        ("max 100000\n", 64),
        ("9900000 100000\n", 64),
        ("0 0\n", 64),
        ("what\n", 64),
        ("", 64),
    ],
)
def test_a_container_has_its_share(machine: Path, limit: str, count: int) -> None:
    (machine / "cpu.max").write_text(limit)
    assert usable_cores() == count


@pytest.mark.parametrize(("quota", "count"), [("400000\n", 4), ("-1\n", 64)])
def test_a_control_group_of_version_1(machine: Path, quota: str, count: int) -> None:
    (machine / "cpu").mkdir()
    (machine / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (machine / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == count


def test_a_container_computes_in_as_many_threads_as_it_has_cores(machine: Path) -> None:
    (machine / "cpu.max").write_text("200000 100000\n")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert not threads_are_chosen()


def test_a_whole_machine_is_left_to_torch() -> None:
    share_cores()
    assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["GOMP_SPINCOUNT"] == cores.SPIN_COUNT


def test_what_the_environment_says_stays(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "cpu.max").write_text("200000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    share_cores()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "GOMP_SPINCOUNT" not in os.environ
    assert threads_are_chosen()


@pytest.mark.parametrize(
    ("verb", "rounds"), [("embed", cores.SPIN_COUNT), ("serve", cores.SPIN_COUNT_SERVING)]
)
def test_the_command_says_it_before_torch_is_there(verb: str, rounds: str) -> None:
    code = (
        "import os, sys, timbral.cli.main as cli\n"
        "cli.run = lambda: print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules) or 0\n"
        "from timbral.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, verb], capture_output=True, text=True)
    assert done.stdout.split() == [rounds, "False"], done.stderr
