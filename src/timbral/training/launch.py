"""Start the processes of a run on this machine."""

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
from typing import Any, NoReturn, TypeVar

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from timbral.errors import ConfigError, TimbralError
from timbral.io.cores import threads_are_chosen
from timbral.io.devices import tune_cpu
from timbral.io.processes import end_with_parent, without_interrupts
from timbral.io.types import StepProgress
from timbral.training.messages import (
    CAUSES_FIRST,
    Crashed,
    Done,
    Ended,
    Failed,
    Failure,
    StepTaken,
)

__all__ = ["check_processes", "launch"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def check_processes(count: int, device: torch.device) -> None:
    """Raise ConfigError unless `count` processes can run on this device."""
    if count < 1:
        raise ConfigError(f"workers must be 1 or more, got {count}")
    if "RANK" in os.environ:
        raise ConfigError(
            "`workers` starts processes on this machine, but torchrun has already started them; "
            "leave it out"
        )
    if device.type == "cuda" and count > torch.cuda.device_count():
        raise ConfigError(
            f"{count} workers need a GPU each; torch sees {torch.cuda.device_count()}"
        )


def launch(
    count: int, work: Callable[[Job, StepProgress], Result], job: Job, progress: StepProgress
) -> Result:
    """Run `work(job, progress)` in `count` processes, like torchrun; the first one's result.

    `progress` is called in this process with the first one's progress. If a process fails, the
    others are ended and its error is raised here: a TimbralError unchanged, any other as
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
            with without_interrupts():  # so that every started process is registered for ending
                process.start()
                processes.append(process)
            there.close()
            pipes.append(here)
        result: Result = _follow(processes, pipes, progress)
        return result
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """The environment variables that torchrun sets; its store is the one that `launch` opens."""
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
    """The work of a process: sends StepTaken from time to time, at last Done, Failed or Crashed."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C also reaches the parent, which ends this process
    end_with_parent()
    os.environ.update(environment)
    if not threads_are_chosen():  # the processes share the cores
        torch.set_num_threads(max(1, torch.get_num_threads() // int(environment["WORLD_SIZE"])))
    tune_cpu()
    try:
        result = work(job, lambda step, metrics: pipe.send(StepTaken(step, metrics)))
    except TimbralError as error:
        pipe.send(Failed(time.time(), error))
        sys.exit(2)
    except BaseException as error:
        pipe.send(Crashed(time.time(), traceback.format_exception_only(error)[-1].strip()))
        sys.exit(1)
    pipe.send(Done(result if environment["RANK"] == "0" else None))


def _follow(processes: list[BaseProcess], pipes: list[Connection], progress: StepProgress) -> Any:
    """Pass progress on until every process is done; returns the first one's result."""
    results: dict[int, Any] = {}
    ranks = {pipe: rank for rank, pipe in enumerate(pipes)}
    while len(results) < len(pipes):
        for pipe in wait([pipe for pipe in pipes if ranks[pipe] not in results]):
            assert isinstance(pipe, Connection)
            message = _receive(pipe)
            if isinstance(message, StepTaken):
                progress(message.step, message.metrics)
            elif isinstance(message, Done):
                results[ranks[pipe]] = message.result
            else:
                _raise_cause(processes, pipes, ranks[pipe], message)
    return results[0]


def _receive(pipe: Connection) -> StepTaken | Done | Failure:
    try:
        message: StepTaken | Done | Failure = pipe.recv()
    except EOFError:
        return Ended(time.time())
    return message


def _raise_cause(
    processes: list[BaseProcess], pipes: list[Connection], rank: int, failure: Failure
) -> NoReturn:
    """Raise the failure that caused the others.

    A killed process sends nothing; the others then report a lost connection.
    """
    failures = {rank: failure}
    deadline = time.monotonic() + 3.0
    pending = {pipe: number for number, pipe in enumerate(pipes) if number != rank}
    while pending and time.monotonic() < deadline:
        for pipe in wait(list(pending), timeout=0.1):
            assert isinstance(pipe, Connection)
            message = _receive(pipe)
            if isinstance(message, StepTaken):
                continue
            number = pending.pop(pipe)
            if isinstance(message, Failure):
                failures[number] = message
    rank = min(failures, key=lambda n: (CAUSES_FIRST.index(type(failures[n])), failures[n].time))
    processes[rank].join(timeout=5.0)
    raise failures[rank].error(rank, processes[rank].exitcode)
