"""Limits of the HTTP service: tokens, other sites, sizes, places, time limits, full disks."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from concurrent.futures import Future
from contextvars import copy_context
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

import timbral
from served import (
    TOKEN,
    SlowRuntime,
    files,
    in_threads,
    number_in_work,
    serving,
    three_recordings,
    wait_until,
    wav,
)
from timbral.errors import UnavailableError
from timbral.inference.embedder import Embedder
from timbral.serving.app import create_app
from timbral.serving.refusals import answer_to
from timbral.serving.service import Service
from timbral.serving.settings import ServiceSettings
from timbral.serving.slots import Slots, hold_slot_for
from timbral.serving.tokens import read_tokens


@pytest.fixture(scope="module")
def paths(voices: Path) -> list[Path]:
    return three_recordings(voices)


@pytest.fixture(scope="module")
def client(embedder: Embedder) -> Iterator[TestClient]:
    with serving(embedder, max_seconds=20, max_upload_mb=1) as client:
        yield client


def test_an_upload_without_length_is_limited(client: TestClient) -> None:
    chunks = (bytes(100_000) for _ in range(20))
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/embed", content=chunks, headers=headers).status_code == 413


def test_only_known_tokens_are_accepted(embedder: Embedder, paths: list[Path]) -> None:
    upload = files(audio=paths[0])
    with serving(embedder, [TOKEN, "another-token-as-long"]) as client:
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
            refused = client.post("/embed", files=upload, headers=header)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics").status_code == 401
        known = {"authorization": f"Bearer {TOKEN}"}
        assert client.post("/embed", files=upload, headers=known).status_code == 200
        assert client.get("/metrics", headers=known).status_code == 200
        for path in ("/", "/health", "/api", "/openapi.json", "/page/service.js"):
            assert client.get(path).status_code == 200, path
            assert client.post(path, content=b"x").status_code == 401, path


def test_tokens_come_from_a_private_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# of the app\n  # and more of it\n{TOKEN}\n")
    file.chmod(0o644)
    with pytest.raises(timbral.ConfigError, match="chmod 600"):
        read_tokens(file)
    file.chmod(0o600)
    assert read_tokens(file).find(f"bearer {TOKEN}".encode()) == 0
    assert read_tokens(None, {"TIMBRAL_TOKENS": TOKEN}).find(f"Bearer {TOKEN}".encode()) == 0
    assert not read_tokens(None, {})
    with pytest.raises(timbral.ConfigError, match="16 characters"):
        read_tokens(None, {"TIMBRAL_TOKENS": "short"})
    with pytest.raises(timbral.ConfigError, match="letters, digits"):
        read_tokens(None, {"TIMBRAL_TOKENS": "tökentökentökentöken"})


def test_pages_of_other_sites_may_not_ask(client: TestClient, paths: list[Path]) -> None:
    upload = files(audio=paths[0])
    for origin, status in (
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost", 200),
        ("http://[", 403),
    ):
        answer = client.post("/embed", files=upload, headers={"origin": origin})
        assert answer.status_code == status
    for host, status in (("evil.example", 403), ("127.0.0.1:8080", 200), ("[::1]:8080", 200)):
        assert client.get("/health", headers={"host": host}).status_code == status


def test_a_database_that_cannot_be_reached_is_no_conflict() -> None:
    """Clients and balancers try again after 503; where the database is stays here."""
    answer = answer_to(UnavailableError("postgresql://me@db/voices: PostgreSQL refuses (closed)"))
    assert (answer.status, answer.kind) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert "postgresql" not in answer.message


def test_what_is_too_much_is_refused_at_once(embedder: Embedder, paths: list[Path]) -> None:
    slow = SlowRuntime(embedder)
    answers: list[httpx.Response] = []
    upload = files(audio=paths[0])
    settings = {"max_waiting": 3, "max_per_token": 2}
    with serving(embedder.with_inference(runtime=slow), [TOKEN, TOKEN + "2"], **settings) as client:

        def ask(row: int, token: str = TOKEN) -> None:
            headers = {"authorization": f"Bearer {token}"}
            answers.append(client.post("/embed", files=upload, headers=headers))

        def in_work() -> int:
            headers = {"authorization": f"Bearer {TOKEN}"}
            return number_in_work(client.get("/metrics", headers=headers).text)

        threads = in_threads(ask, 2)
        wait_until(lambda: in_work() == 2)
        ask(2)
        threads += in_threads(lambda row: ask(row, TOKEN + "2"), 1)
        wait_until(lambda: in_work() == 3)
        ask(4, TOKEN + "2")
        assert [each.status_code for each in answers] == [429, 503]
        assert all(int(each.headers["retry-after"]) > 0 for each in answers)
        slow.may.set()
        for thread in threads:
            thread.join()
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 429, 503]


def test_a_place_is_given_back_once() -> None:
    counts: list[int] = []
    slots = Slots(ServiceSettings(), counts.append)
    first: Future[None] = Future()
    with slots.taken(-1):
        hold_slot_for(first)
        context = copy_context()
    assert counts == [1]
    first.set_result(None)
    assert counts == [1, 0]
    later: Future[None] = Future()
    context.run(hold_slot_for, later)  # as of the next request on this connection
    later.set_result(None)
    assert counts == [1, 0]


def test_what_takes_too_long_is_given_up(embedder: Embedder, paths: list[Path]) -> None:
    slow = SlowRuntime(embedder)
    slow_embedder = embedder.with_inference(runtime=slow)
    with serving(slow_embedder, timeout_seconds=0.2, threads=2) as client:
        answer = client.post("/embed", files=files(audio=paths[0]))
        assert (answer.status_code, answer.json()["kind"]) == (503, "timeout")
        slow.may.set()
        answers = (client.post("/embed", files=files(audio=paths[0])) for _ in range(100))
        assert any(answer.status_code == 200 for answer in answers)  # on a busy machine late


def test_what_is_past_its_time_keeps_its_place_and_begins_nothing_more(
    embedder: Embedder, paths: list[Path]
) -> None:
    uploads = [("audio", path.read_bytes()) for path in paths] * 3
    for timeout_seconds in 0.2 * 2.0 ** np.arange(8):  # until one is enough to begin to compute
        slow = SlowRuntime(embedder)
        slow_embedder = embedder.with_inference(runtime=slow)
        settings = {"timeout_seconds": timeout_seconds, "threads": 2, "max_waiting": 1}
        with serving(slow_embedder, **settings) as client:

            def kind() -> str:
                return str(client.post("/embed", files=uploads).json().get("kind"))

            if kind() == "timeout" and slow.has_begun:
                assert kind() == "overloaded"  # a thread still works for the first request
                slow.may.set()
                wait_until(lambda: number_in_work(client.get("/metrics").text) == 0)
                assert sum(slow.batches) < 9  # of the nine recordings
                return
            slow.may.set()
    pytest.fail("the encoder was not called within the longest time limit")


def test_too_little_memory_is_no_fault(embedder: Embedder) -> None:
    loud = np.full(16_000, -0.5, np.float32)
    loud[0] = 1.0
    slow = SlowRuntime(embedder)
    slow.may.set()
    with serving(embedder.with_inference(runtime=slow)) as client:
        answer = client.post("/embed", files={"audio": wav(loud, subtype="FLOAT")})
        assert (answer.status_code, answer.json()["kind"]) == (503, "memory")
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(("number", "status", "kind"), [(errno.ENOSPC, 503, "disk"), (5, 500, "")])
def test_a_full_disk_is_told(
    embedder: Embedder, paths: list[Path], monkeypatch: pytest.MonkeyPatch,
    number: int, status: int, kind: str,
) -> None:  # fmt: skip
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "no luck", "/secret/place")

    monkeypatch.setattr(Service, "embed", fail)
    service = Service(embedder, ServiceSettings(), workers=1)
    app = create_app(service)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/embed", files=files(audio=paths[0]))
    assert answer.status_code == status
    assert answer.json()["kind"] == (kind or "fault")
    assert "secret" not in answer.text


def test_a_slow_upload_is_given_up(embedder: Embedder) -> None:
    service = Service(embedder, ServiceSettings(timeout_seconds=0.1), workers=1)
    app = create_app(service)
    sent: list[dict[str, Any]] = []
    scope = {"type": "http", "method": "POST", "path": "/embed", "query_string": b""}
    scope["headers"] = [(b"host", b"localhost")]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(5)
        return {"type": "http.request", "body": b"", "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app({**scope, "scheme": "http", "server": ("x", 1)}, receive, send))
    service.close()
    assert sent[0]["status"] == 408
