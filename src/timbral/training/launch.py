"""Starting the processes of a run on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from timbral.errors import ConfigError, TimbralError, TrainingError
from timbral.io.devices import tune_cpu
from timbral.io.processes import end_with_parent
from timbral.io.types import StepProgress

__all__ = ["check_processes", "launch"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def check_processes(count: int, device: torch.device) -> None:
    """ConfigError unless `count` processes can be started here on this device."""
    if count < 1:
        raise ConfigError(f"workers must be 1 or more, got {count}")
    if "RANK" in os.environ:
        raise ConfigError(
            "workers starts processes of this machine, and torchrun has done so already"
        )
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise ConfigError(
            f"{count} workers need a GPU each; torch sees {torch.cuda.device_count()}"
        )


def launch(
    count: int, work: Callable[[Job, StepProgress], Result], job: Job, progress: StepProgress
) -> Result:
    """Run `work(job, progress)` in `count` processes, as torchrun would; the first one's result.

    `progress` is called here with what the first one tells. When a process fails, the others
    are ended and its error is raised here: a TimbralError as it is, anything else as a
    TrainingError. The processes never outlive this one.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []
    pipes: list[Connection] = []
    try:
        for rank in range(count):
            here, there = context.Pipe()
            environment = _environment(rank, count, store.port)
            process: BaseProcess = context.Process(
                target=_work, args=(there, environment, work, job)
            )
            process.start()
            there.close()
            processes.append(process)
            pipes.append(here)
        result: Result = _follow(processes, pipes, progress)
        return result
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun would set; the agent's store is the one that `launch` has opened."""
    loopback = "lo" if sys.platform == "linux" else "lo0"
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", loopback),
    }


def _work(pipe: Connection, environment: dict[str, str], work: Any, job: Any) -> None:
    """A process: sends ("step", numbers), then ("done", result) or what failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    end_with_parent()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" not in os.environ:  # the processes share the cores
        torch.set_num_threads(max(1, torch.get_num_threads() // int(environment["WORLD_SIZE"])))
    tune_cpu()
    try:
        result = work(job, lambda step, values: pipe.send(("step", (step, values))))
    except TimbralError as error:
        pipe.send(("failed", (time.time(), error)))
        sys.exit(2)
    except BaseException as error:
        last = traceback.format_exception_only(error)[-1].strip()
        pipe.send(("crashed", (time.time(), last)))
        sys.exit(1)
    pipe.send(("done", result if environment["RANK"] == "0" else None))


def _follow(processes: list[BaseProcess], pipes: list[Connection], progress: StepProgress) -> Any:
    """Pass progress on until every process is done, or raise what the first failure was."""
    results: dict[int, Any] = {}
    ranks = {pipe: rank for rank, pipe in enumerate(pipes)}
    while len(results) < len(pipes):
        for pipe in wait([pipe for pipe in pipes if ranks[pipe] not in results]):
            assert isinstance(pipe, Connection)
            rank = ranks[pipe]
            kind, content = _receive(pipe)
            if kind == "step":
                progress(*content)
            elif kind == "done":
                results[rank] = content
            else:
                _raise_cause(processes, pipes, rank, kind, content)
    return results[0]


def _receive(pipe: Connection) -> tuple[str, Any]:
    try:
        message: tuple[str, Any] = pipe.recv()
    except EOFError:  # it ended without a word
        return "ended", (time.time(),)
    return message


def _raise_cause(
    processes: list[BaseProcess], pipes: list[Connection], rank: int, kind: str, content: Any
) -> None:
    """Of failures that came together, raise the one that the others follow from.

    A process that is killed says nothing; its peers then complain of a lost connection.
    """
    outcomes = {rank: (kind, content)}
    deadline = time.monotonic() + 3.0
    waiting = {pipe: number for number, pipe in enumerate(pipes) if number != rank}
    while waiting and time.monotonic() < deadline:
        for pipe in wait(list(waiting), timeout=0.1):
            assert isinstance(pipe, Connection)
            message = _receive(pipe)
            if message[0] != "step":
                outcomes[waiting.pop(pipe)] = message
    for wanted in ("failed", "ended", "crashed"):
        found = [
            (content, number) for number, (kind, content) in outcomes.items() if kind == wanted
        ]
        if found:
            content, number = min(found, key=lambda failure: failure[0][0])  # the first in time
            processes[number].join(timeout=5.0)
            raise _error(number, wanted, content, processes[number].exitcode)


def _error(rank: int, kind: str, content: Any, code: int | None) -> TimbralError:
    if kind == "failed":
        error: TimbralError = content[1]
        return error
    how = content[1] if kind == "crashed" else f"exit code {code}"
    if kind == "ended" and code is not None and code < 0:
        how = f"killed by {signal.Signals(-code).name}"
    return TrainingError(
        f"process {rank} failed ({how}) and ended the run, which the same command continues; "
        f"see worker_{rank}.log in the run folder"
    )
