"""Recordings of several requests, computed together."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from served import SlowRuntime, in_threads, wait_until
from timbral.audio.decode import Wave
from timbral.inference.embedder import Embedder
from timbral.io.types import Vectors
from timbral.serving.batching import BatchingRuntime
from timbral.serving.lone_threads import LoneThreads
from timbral.serving.refusals import ServiceError


def test_what_waits_is_computed_together(embedder: Embedder, waves: list[Wave]) -> None:
    slow = SlowRuntime(embedder)
    batching = BatchingRuntime(slow, workers=1, timeout_seconds=10)
    clips = [wave[:32_000] for wave in waves[:9]]
    found: dict[int, Vectors] = {}

    def ask(row: int) -> None:
        found[row] = batching.embed_waves([clips[row]], None)[0]

    threads = in_threads(ask, 1)
    wait_until(lambda: slow.has_begun)
    threads += in_threads(lambda row: ask(row + 1), 8)
    wait_until(lambda: batching.num_waiting == 8)
    slow.may.set()
    for thread in threads:
        thread.join()
    assert slow.batches == [1, 8]  # 16 s of 2 s each
    for row, clip in enumerate(clips):
        np.testing.assert_allclose(found[row], embedder.encode_preprocessed([clip])[0], atol=1e-5)
    many = batching.embed_waves([*clips, *clips], None)
    assert slow.batches[2:] == [8, 8, 2]
    np.testing.assert_allclose(many, embedder.encode_preprocessed([*clips, *clips]), atol=1e-5)
    batching.close()
    with pytest.raises(ServiceError, match="stopping"):
        batching.embed_waves(clips, None)


def test_one_request_does_not_fail_the_others(embedder: Embedder, waves: list[Wave]) -> None:
    slow = SlowRuntime(embedder)
    batching = BatchingRuntime(slow, workers=1, timeout_seconds=10)
    bad = waves[0][:16_000].copy()
    bad[0] = 1
    found: list[object] = [None] * 4

    def ask(row: int) -> None:
        try:
            found[row] = batching.embed_waves([bad if row == 2 else waves[row][:16_000]], None)
        except MemoryError as error:
            found[row] = error

    threads = in_threads(ask, 1)
    wait_until(lambda: slow.has_begun)
    threads += in_threads(lambda row: ask(row + 1), 3)
    wait_until(lambda: batching.num_waiting == 3)
    slow.may.set()
    for thread in threads:
        thread.join()
    batching.close()
    assert [isinstance(each, MemoryError) for each in found] == [False, False, True, False]


def test_a_request_alone_is_computed_on_all_cores(
    embedder: Embedder, waves: list[Wave], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowRuntime(embedder)
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    batching = BatchingRuntime(slow, workers=2, timeout_seconds=10, threads_alone=2)
    threads = in_threads(lambda row: batching.embed_waves([waves[row]], None), 1)
    wait_until(lambda: slow.has_begun)
    threads += in_threads(lambda row: batching.embed_waves([waves[row]], None), 2)
    wait_until(lambda: len(used) == 2)
    slow.may.set()
    for thread in threads:
        thread.join()
    batching.close()
    assert used[:2] == [2, 1]


def test_what_came_too_late_is_not_counted(embedder: Embedder, waves: list[Wave]) -> None:
    slow = SlowRuntime(embedder)
    counted: list[int] = []
    batching = BatchingRuntime(
        slow,
        workers=1,
        timeout_seconds=0.2,
        observe=lambda recordings, seconds, computing: counted.append(recordings),
    )
    refused: list[ServiceError] = []

    def ask(row: int) -> None:
        try:
            batching.embed_waves(waves[: row + 1], None)
        except ServiceError as error:
            refused.append(error)

    threads = in_threads(ask, 1)
    wait_until(lambda: slow.has_begun)
    threads += in_threads(lambda row: ask(1), 1)
    wait_until(lambda: batching.num_waiting == 1)
    time.sleep(0.25)
    slow.may.set()
    for thread in threads:
        thread.join()
    batching.close()
    assert counted == [1]
    assert [error.kind for error in refused] == ["timeout"]


def test_alone_on_busy_cores_one_thread_is_chosen() -> None:
    def chosen(cost: dict[int, float], count: int = 64) -> list[int]:
        threads = LoneThreads(4)
        found = []
        for _ in range(count):
            found.append(threads.choose())
            threads.note(found[-1], cost[found[-1]])
        return found

    # three of each, then the slower one after 16, 32, 64, 128 and 128 batches
    assert chosen({1: 0.1, 4: 0.03}, 380).count(1) == 3 + 5
    assert chosen({1: 0.1, 4: 3.0}, 380).count(4) == 3 + 5

    threads = LoneThreads(4)
    for number in range(40):  # the first batch of four threads also starts them
        threads.note(threads.choose(), 9.0 if number == 0 else 0.1)
    for cost in ({1: 0.1, 4: 0.03}, {1: 0.1, 4: 3.0}):  # other programs end, and begin
        for _ in range(40):
            chosen_now = threads.choose()
            threads.note(chosen_now, cost[chosen_now])
        assert [threads.choose() for _ in range(3)].count(min(cost, key=lambda n: cost[n])) >= 2
    assert LoneThreads(1).choose() == 1
