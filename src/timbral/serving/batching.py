"""Compute the recordings of many requests together, with one encoder.

request threads ──▶ queue ──▶ workers, one per core: take up to a batch of jobs ──▶ vectors

No job waits for a batch to fill: a free worker takes jobs from the queue, and leaves an equal
number to each other free worker. So batches grow with the load. A single request is computed at
once, on all cores: always by the first worker, since each Python thread that computes on several
cores keeps its own pool of threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING

import numpy as np

from timbral.audio.decode import Wave
from timbral.encoders.native_windows import Windows
from timbral.inference.runtime import NetworkFacts, Runtime, no_progress
from timbral.io.loaded_torch import Device, set_torch_threads
from timbral.io.types import Progress, Vectors
from timbral.serving.lone_threads import LoneThreads
from timbral.serving.refusals import ServiceError
from timbral.serving.request_time import check_time_left, deadline, too_busy

if TYPE_CHECKING:
    import torch

__all__ = ["BatchingRuntime"]

Observer = Callable[[int, float, float], None]
"""called for each batch with the number of recordings, their seconds, and seconds of computing"""


@dataclass
class _Job:
    """Waves of one request, or of a part of it."""

    waves: Sequence[Wave]
    windows: Windows | None
    deadline: float
    future: Future[Vectors] = field(default_factory=Future)

    @property
    def samples(self) -> int:
        return sum(map(len, self.waves))


class BatchingRuntime:
    """A runtime for many threads at once, which computes their waves together.

    Attributes:
        runtime: computes the vectors
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        workers: int,
        timeout_seconds: float,
        threads_alone: int = 1,
        observe: Observer = lambda recordings, seconds, computing: None,
    ) -> None:
        """Start the workers; `close` ends them.

        Args:
            runtime: computes the batches
            workers: number of threads, each of which computes batches
            timeout_seconds: longest wait of a job; one past the deadline of its request
                (`timbral.serving.request_time`) is given up earlier
            threads_alone: most threads of torch for a batch while there are no others
                (`LoneThreads`); other batches get one; 1 leaves torch's setting unchanged
            observe: called after each batch
        """
        self.runtime = runtime
        self.progress: Progress = no_progress
        self._timeout = timeout_seconds
        self._lone_threads = LoneThreads(threads_alone)
        self._observe = observe
        seconds = runtime.seconds_per_batch
        self._samples_per_batch = seconds * runtime.network.sample_rate
        self._jobs: deque[_Job] = deque()
        self._lock = Lock()
        self._woken = [Condition(self._lock) for _ in range(workers)]
        self._idle: set[int] = set()
        """numbers of waiting workers, of which the lowest is woken first"""
        self._closed = False
        self._unbatched = Lock()  # held by a computation outside of batches
        self._workers = [
            Thread(target=self._work, args=(number,), daemon=True) for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    @property
    def network(self) -> NetworkFacts:
        return self.runtime.network

    @property
    def device(self) -> Device:
        return self.runtime.device

    @property
    def precision(self) -> str:
        return self.runtime.precision

    @property
    def seconds_per_batch(self) -> int:
        return self.runtime.seconds_per_batch

    @property
    def num_waiting(self) -> int:
        return len(self._jobs)

    def to(self, device: str | torch.device) -> None:
        self.runtime.to(device)

    def close(self) -> None:
        """End the workers, after all waiting jobs."""
        with self._lock:
            self._closed = True
            for woken in self._woken:
                woken.notify()
        for worker in self._workers:
            worker.join()

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors:
        """Like `TorchRuntime.embed_waves`; long requests are split and let others in between."""
        until = min(time.monotonic() + self._timeout, deadline())
        jobs = (_Job(piece, windows, until) for piece in self._pieces(waves))
        vectors = [self._computed(job) for job in jobs]
        vectors = vectors or [self.runtime.embed_waves([], windows)]
        return np.concatenate(vectors)

    def embed_mels(self, mels: Sequence[Vectors], windows: Windows) -> Vectors:
        with self._turn():
            return self.runtime.embed_mels(mels, windows)

    def embed_windows(self, wave: Wave, windows: Windows) -> Vectors:
        with self._turn():
            return self.runtime.embed_windows(wave, windows)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """A turn to compute outside of batches; ServiceError (503) if the wait is too long."""
        check_time_left()
        seconds_left = min(self._timeout, max(deadline() - time.monotonic(), 0.0))
        if not self._unbatched.acquire(timeout=seconds_left):
            raise too_busy()
        try:
            yield
        finally:
            self._unbatched.release()

    def _pieces(self, waves: Sequence[Wave]) -> list[list[Wave]]:
        """Waves, in order, in pieces of at most one batch; a longer wave is a piece of its own."""
        pieces: list[list[Wave]] = []
        samples = 0
        for wave in waves:
            samples += len(wave)
            if not pieces or samples > self._samples_per_batch:
                pieces.append([])
                samples = len(wave)
            pieces[-1].append(wave)
        return pieces

    def _computed(self, job: _Job) -> Vectors:
        check_time_left()
        with self._lock:
            if self._closed:
                raise ServiceError(503, "stopping", "the service is stopping; use another one")
            self._jobs.append(job)
            self._wake()
        return job.future.result()

    def _wake(self) -> None:
        """Wake the first idle worker, if there is one."""
        if self._idle:
            number = min(self._idle)
            self._idle.remove(number)
            self._woken[number].notify()

    def _work(self, number: int) -> None:
        threads = 0
        while batch := self._next_batch(number):
            is_alone = self._lone_threads.most > 1 and self._is_alone()
            new_threads = self._lone_threads.choose() if is_alone else 1
            if new_threads != threads and self._lone_threads.most > 1:
                set_torch_threads(new_threads)  # for this Python thread only
                threads = new_threads
            waiting = _in_time(batch)
            if not waiting:
                continue
            start = time.monotonic()
            _compute(self.runtime, waiting)
            computing = time.monotonic() - start
            seconds = sum(job.samples for job in waiting) / self.network.sample_rate
            if is_alone and self._is_alone():
                self._lone_threads.note(threads, computing / seconds)
            self._observe(sum(len(job.waves) for job in waiting), seconds, computing)

    def _is_alone(self) -> bool:
        """Whether no other batch is waiting or being computed."""
        with self._lock:
            return not self._jobs and len(self._idle) == len(self._workers) - 1

    def _next_batch(self, number: int) -> list[_Job]:
        """A worker's fraction of the waiting jobs, up to a batch; empty after `close`."""
        with self._lock:
            while not self._jobs and not self._closed:
                self._idle.add(number)
                self._woken[number].wait()
                self._idle.discard(number)
            count = -(-len(self._jobs) // (1 + len(self._idle)))
            batch: list[_Job] = []
            samples = 0
            while self._jobs and len(batch) < count:
                job = self._jobs[0]
                samples += job.samples
                if batch and not self._fits(samples, job, batch[0]):
                    break
                batch.append(self._jobs.popleft())
            if self._jobs:
                self._wake()
            return batch

    def _fits(self, samples: int, job: _Job, first: _Job) -> bool:
        return samples <= self._samples_per_batch and job.windows == first.windows


def _in_time(batch: Sequence[_Job]) -> list[_Job]:
    """The jobs within their deadlines; the others get the error of the time limit."""
    now = time.monotonic()
    for job in batch:
        if job.deadline < now:
            job.future.set_exception(too_busy())
    return [job for job in batch if not job.future.done()]


def _compute(runtime: Runtime, waiting: Sequence[_Job]) -> None:
    """Give each job its vectors, or the error that its waves raise."""
    try:
        waves = [wave for job in waiting for wave in job.waves]
        vectors = runtime.embed_waves(waves, waiting[0].windows)
    except BaseException as error:
        if len(waiting) == 1:
            waiting[0].future.set_exception(error)
            return
        for job in waiting:  # so that one request's error does not fail others
            if _in_time([job]):
                _compute(runtime, [job])
        return
    ends = np.cumsum([len(job.waves) for job in waiting])
    for job, rows in zip(waiting, np.split(vectors, ends[:-1]), strict=True):
        job.future.set_result(rows)
