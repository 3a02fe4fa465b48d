"""The HTTP service: the library's answers and refusals, limits, tokens, batches, its end."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import soundfile
import torch

from conftest import Ask

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

import timbral
from timbral.audio.decode import Wave, decode
from timbral.audio.quality.risks import Risk
from timbral.encoders.native_windows import Windows
from timbral.errors import UnavailableError
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.inference.embedder import Embedder
from timbral.io.types import Vectors
from timbral.serving import extras
from timbral.serving.app import create_app
from timbral.serving.batching import BatchingRuntime
from timbral.serving.lone_threads import LoneThreads
from timbral.serving.refusals import ServiceError, answer_to
from timbral.serving.server import listen
from timbral.serving.service import Service
from timbral.serving.settings import ServiceSettings
from timbral.serving.slots import Slots, hold_slot_for
from timbral.serving.tokens import Tokens, read_tokens

TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture(scope="module")
def embedder(run: Path) -> Embedder:
    return timbral.load_encoder(run)


@pytest.fixture(scope="module")
def paths(voices: Path) -> list[Path]:
    """Two recordings of one voice, and one of another."""
    first, second, *_ = sorted(voices.glob("*/"))
    return [*sorted(first.glob("*.ogg"))[:2], sorted(second.glob("*.ogg"))[0]]


@contextmanager
def serving(
    embedder: Embedder, tokens: Sequence[str] = (), gallery: Gallery | None = None, **settings: Any
) -> Iterator[TestClient]:
    service = Service(embedder, ServiceSettings(**settings), workers=2, gallery=gallery)
    with TestClient(create_app(service, Tokens(tokens)), "http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def client(embedder: Embedder) -> Iterator[TestClient]:
    with serving(embedder, max_seconds=20, max_upload_mb=1) as client:
        yield client


def wav(wave: Wave, format: str = "WAV", rate: int = 16_000, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, subtype, format=format)
    return file.getvalue()


def files(**paths: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in paths.items()}


def test_embed_gives_the_vectors_of_the_library(
    client: TestClient, embedder: Embedder, paths: list[Path]
) -> None:
    uploads = [("audio", path.read_bytes()) for path in paths]
    answer = client.post("/embed", files=uploads, data={"measures": "true"}).json()
    np.testing.assert_allclose(answer["embeddings"], embedder.encode(paths), atol=1e-5)
    assert answer["weights_sha256"] == embedder.weights_sha256
    assert len(answer["recordings"]) == 3
    plain = client.post("/embed", files=uploads[:1]).json()
    np.testing.assert_allclose(plain["embeddings"], answer["embeddings"][:1], atol=1e-5)
    assert plain["recordings"] is None


def test_verify_decides_as_the_library_does(
    client: TestClient, embedder: Embedder, paths: list[Path]
) -> None:
    uploads = files(first=paths[0], second=paths[2])
    fields = {"threshold": "0.4", "timeline": "second"}
    answer = client.post("/verify", files=uploads, data=fields).json()
    decision = embedder.verify(*uploads.values(), 0.4)
    assert answer["score"] == pytest.approx(decision.score, abs=1e-5)
    assert (answer["same"], answer["threshold"]) == (decision.same, 0.4)
    assert answer["warnings"] == list(decision.warnings)
    times, vectors = embedder.encode_windows(uploads["second"])
    np.testing.assert_allclose(answer["timeline"]["seconds"], times)
    cosines = embedder.similarity(vectors, embedder.encode(uploads["first"]))
    np.testing.assert_allclose(answer["timeline"]["scores"], cosines.ravel(), atol=1e-5)


def test_an_exported_model_serves_the_gallery_of_its_network(
    run: Path, embedder: Embedder, paths: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from timbral.exporting.export_encoder import export

    export(embedder, tmp_path / "model.onnx")
    exported = timbral.load_encoder(tmp_path / "model.onnx")
    gallery = Gallery.create(tmp_path / "gallery.db", embedder)
    gallery.enroll("one", [str(path) for path in paths[:2]], embedder, force=True)
    with serving(exported, gallery=gallery) as client:
        audio = {"audio": paths[2].read_bytes()}
        vector = client.post("/embed", files=audio).json()["embeddings"][0]
        np.testing.assert_allclose(vector, embedder.encode(str(paths[2])), atol=1e-4)
        data = {"name": "two", "force": "true"}
        assert client.post("/enroll", files=audio, data=data).status_code == 200
        found = client.post("/identify", files=audio).json()
        assert found["candidates"][0]["name"] == "two"
        assert found["candidates"][0]["score"] == pytest.approx(1.0, abs=1e-4)


def test_verify_looks_for_a_second_speaker(
    client: TestClient, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(_: Embedder, wave: Wave) -> Risk | None:
        return Risk("several-speakers", "cut it") if len(wave) == lengths[2] else None

    lengths = [len(decode(path)[0]) for path in paths]
    monkeypatch.setattr("timbral.serving.service.several_speakers_of", found)
    assert lengths[0] != lengths[2]
    uploads = files(first=paths[0], second=paths[2])
    answer = client.post("/verify", files=uploads, data={"check_speakers": "true"}).json()
    kinds = [[risk["kind"] for risk in answer[side]["risks"]] for side in ("first", "second")]
    assert ["several-speakers" in each for each in kinds] == [False, True]
    assert "second: several-speakers: cut it" in answer["warnings"]


@pytest.mark.parametrize(
    ("content", "status", "kind", "said"),
    [
        (b"", 422, "empty", "0 bytes"),
        (b"no audio at all", 415, "unreadable", "cannot be read as audio"),
        (wav(np.zeros(16_000, np.float32)), 422, "silent", "is silent"),
        (wav(np.full(100, 0.1, np.float32)), 422, "too-short", "too short"),
        (wav(np.zeros(16_000 * 100, np.float32), "FLAC"), 413, "too-long", "100 s of audio"),
        (wav(np.zeros((48_000 * 12, 8), np.float32), "FLAC", 48_000), 413, "too-large", "channels"),
    ],
)
def test_unusable_recordings_are_refused_in_the_words_of_the_library(
    client: TestClient, content: bytes, status: int, kind: str, said: str
) -> None:
    answer = client.post("/embed", files={"audio": content})
    assert (answer.status_code, answer.json()["kind"]) == (status, kind)
    assert said in answer.json()["message"]


def test_requests_that_are_none_are_refused(client: TestClient, paths: list[Path]) -> None:
    def status(path: str, **request: Any) -> tuple[int, str]:
        answer = client.post(path, **request)
        assert answer.json()["message"]
        return answer.status_code, answer.json()["kind"]

    upload = files(first=paths[0], second=paths[1])
    many = [("audio", paths[0].read_bytes())] * 11
    assert status("/verify", files=files(first=paths[0])) == (422, "fields")
    assert status("/verify", files=upload, data={"threshold": "2"}) == (422, "setting")
    assert status("/verify", files=upload, data={"false_accept": "0.01"}) == (422, "setting")
    assert status("/embed", files=many) == (413, "too-many-files")
    assert status("/embed", files={"audio": bytes(1_100_000)}) == (413, "too-large")
    broken = {"content": b"--x\r\nbroken", "headers": {"content-type": "multipart/form-data"}}
    assert status("/embed", **broken) == (400, "multipart")
    assert status("/nowhere") == (404, "no-such-path")
    assert client.get("/embed").status_code == 405


def test_fields_that_would_not_count_are_refused(client: TestClient, paths: list[Path]) -> None:
    def told(path: str, **request: Any) -> str:
        answer = client.post(path, **request)
        assert answer.status_code in (404, 422)
        return str(answer.json()["message"])

    upload = files(first=paths[0], second=paths[1])
    misspelled = told("/verify", files=upload, data={"false_acept": "0.01"})
    assert misspelled.startswith("false_acept: no such field; allowed: first, second, threshold, ")
    assert "no such field; allowed: audio, measures" in told("/embed", files=upload)
    assert "part of the address" in told("/verify?false_accept=0.01", files=upload)
    assert "got 'maybe'" in told("/verify", files=upload, data={"check_speakers": "maybe"})
    twice = [*upload.items(), *files(first=paths[2]).items()]
    assert told("/verify", files=twice) == "first: was sent twice; send it once"
    priors = {"prior": ["0.1", "0.2"]}
    assert told("/verify", files=upload, data=priors) == "prior: was sent twice; send it once"
    text = {"first": "a.wav", "second": "b.wav"}
    assert told("/verify", data=text) == (
        "first: must be a file, got text; with curl: -F first=@a.wav"
    )
    number = files(first=paths[0], second=paths[1], prior=paths[0])
    assert told("/verify", files=number).startswith("prior: must be text, got a file; ")
    assert "need a gallery" in told("/identify", files=files(audio=paths[0]))


def test_missing_and_impossible_fields_are_told(client: TestClient, paths: list[Path]) -> None:
    def told(path: str, **request: Any) -> str:
        answer = client.post(path, **request)
        assert (answer.status_code, answer.json()["kind"]) == (422, "fields")
        return str(answer.json()["message"])

    upload = files(first=paths[0], second=paths[1])
    assert told("/verify") == (
        "first: is missing (a recording); with curl: -F first=@a.wav; "
        "second: is missing (the other recording); with curl: -F second=@a.wav"
    )
    for field, value, message in (
        ("prior", "x", "must be a number such as 0.5, got 'x'"),
        ("check_speakers", "maybe", "must be true or false, got 'maybe'"),
        ("timeline", "third", "must be 'none', 'first' or 'second', got 'third'"),
    ):
        assert told("/verify", files=upload, data={field: value}) == f"{field}: {message}"
    assert told("/verify", json={"first": "a.wav"}) == (
        "the body is application/json; send form fields, as multipart/form-data: "
        "with curl: -F first=@a.wav -F second=@a.wav"
    )
    upper = {"Content-Type": "Multipart/Form-Data; boundary=b"}
    assert told("/embed", content=b"--b--\r\n", headers=upper).startswith("audio: is missing (")
    many = client.post("/embed", data={f"f{number}": "" for number in range(1_001)}).json()
    assert many["message"].startswith("the body cannot be read as form fields (Too many fields")


def test_answers_are_sent_at_once() -> None:
    """Without it a small answer's body waits 40 ms until its head is acknowledged."""

    async def no_delay() -> int:
        taken = asyncio.get_running_loop().create_future()

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                of = transport.get_extra_info("socket")
                taken.set_result(of.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        listening = listen("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Protocol, sock=listening)
        async with server:
            _, writer = await asyncio.open_connection(*listening.getsockname())
            answer = int(await taken)
            writer.close()
            return answer

    assert asyncio.run(no_delay())


def test_an_upload_without_length_is_limited(client: TestClient) -> None:
    chunks = (bytes(100_000) for _ in range(20))
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/embed", content=chunks, headers=headers).status_code == 413


def test_tokens(embedder: Embedder, paths: list[Path]) -> None:
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


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/api"):
        page = client.get(path)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http" not in page.text.replace("http-equiv", "")
        assert "<script>" not in page.text
        assert " on" + "click" not in page.text
    assert client.get("/page/..%2fapp.py").status_code == 404


def test_nothing_of_a_request_is_logged(
    client: TestClient, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "timbral.access"):
        client.post("/embed", files={"audio": ("my-secret.wav", paths[0].read_bytes())})
        client.get("/somebody's name?q=secret")
    assert [record.getMessage().rsplit(" ", 2)[0] for record in caplog.records] == [
        "POST /embed 200",
        "GET other 404",
    ]


class SlowRuntime:
    """The encoder's runtime, which waits until it may, and notes its batches."""

    def __init__(self, embedder: Embedder) -> None:
        self._inner = embedder.runtime
        self.network, self.device = self._inner.network, self._inner.device
        self.precision = self._inner.precision
        self.may = threading.Event()
        self.has_begun = False
        self.batches: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def embed_waves(self, waves: Sequence[Wave], windows: Windows | None) -> Vectors:
        self.has_begun = True
        self.may.wait(10)
        self.batches.append(len(waves))
        if any(wave[0] == 1 for wave in waves):
            raise MemoryError
        return self._inner.embed_waves(waves, windows)


def in_threads(function: Callable[[int], Any], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=function, args=(row,)) for row in range(count)]
    for thread in threads:
        thread.start()
    return threads


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


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
            text = client.get("/metrics", headers=headers).text
            return int(float(text.split("\ntimbral_in_work ")[1].split()[0]))

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
    slow = SlowRuntime(embedder)
    slow_embedder = embedder.with_inference(runtime=slow)
    uploads = [("audio", path.read_bytes()) for path in paths] * 3
    with serving(slow_embedder, timeout_seconds=0.2, threads=2, max_waiting=1) as client:

        def kind() -> str:
            return str(client.post("/embed", files=uploads).json().get("kind"))

        # on a busy machine the time may be over before anything is handed to the encoder
        wait_until(lambda: kind() == "timeout" and slow.has_begun)
        assert kind() == "overloaded"  # a thread is still at it
        slow.may.set()
        wait_until(lambda: "timbral_in_work 0.0" in client.get("/metrics").text)
        assert sum(slow.batches) < 9  # of its nine recordings, on a busy machine none


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


def test_serve_refuses_in_one_line(
    ask: Ask, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIMBRAL_TOKENS", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words, said in (
            (["--port", port], "choose another --port"),
            (["--host", "0.0.0.0"], "give a file with --tokens"),
            (["--tokens", tmp_path / "none"], "tokens cannot be read (No such file"),
            (["--port", 99_999], "--port must be between 0 and 65535"),
            (["--threads", 0], "threads must be in [1, 1000]: 0"),
        ):
            answer = ask("serve", "--encoder", run, *words)
            assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
            assert said in answer.err


def test_a_stopped_service_finishes_what_it_took(run: Path, paths: list[Path]) -> None:
    command = [sys.executable, "-m", "timbral", "serve", "--encoder", str(run), "--port", "0"]
    environment = {**os.environ, "TIMBRAL_TOKENS": ""}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        address = server.stderr.readline().split()[-1]
        content = paths[0].read_bytes()
        statuses: list[int] = []

        def ask(row: int) -> None:
            uploads = [("audio", content)] * 10
            statuses.append(httpx.post(f"{address}/embed", files=uploads).status_code)

        wait_until(lambda: httpx.get(f"{address}/health").status_code == 200)
        threads = in_threads(ask, 4)
        metrics = f"{address}/metrics"
        wait_until(lambda: "timbral_in_work 4" in httpx.get(metrics).text or bool(statuses))
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        assert server.wait(10) == 0
        assert "Traceback" not in server.stderr.read()


def test_voices_are_enrolled_shown_and_deleted(
    embedder: Embedder, paths: list[Path], tmp_path: Path
) -> None:
    name = "<script>alert(1)</script>/../ü"
    recordings = [("audio", path.read_bytes()) for path in paths[:2]]
    fields = {"name": name, "consent": "form 7", "force": "true"}
    gallery = Gallery.create(tmp_path / "gallery.db", embedder)
    with serving(embedder, gallery=gallery) as client:
        assert client.get("/voices").json() == {"voices": []}
        answer = client.post("/enroll", files=recordings, data=fields)
        assert answer.status_code == 200, answer.text
        assert answer.json()["num_recordings"] == 2
        (listed,) = client.get("/voices").json()["voices"]
        assert (listed["name"], listed["consent"]) == (name, "form 7")
        path = f"/voices/{quote(name, safe='')}"
        shown = client.get(path).json()
        assert [each["source"] for each in shown["recordings"]] == ["audio[0]", "audio[1]"]
        np.testing.assert_allclose(
            gallery.voice(name).vector, embedder.encode_speaker(paths[:2]), atol=1e-5
        )
        found = client.post("/identify", files=files(audio=paths[1]), data={"top": "3"}).json()
        again = gallery.identify(paths[1], embedder)
        assert (found["name"], found["why"]) == (again.name, again.why)
        assert [each["name"] for each in found["candidates"]] == [name]
        assert found["candidates"][0]["score"] == pytest.approx(again.candidates[0].score, abs=1e-5)
        unfit = client.post("/enroll", files={"audio": b"none"}, data={"name": "other"})
        assert (unfit.status_code, unfit.json()["refusals"][0]["kind"]) == (422, "unusable")
        again = client.post("/enroll", files=recordings, data={"name": name})
        assert (again.status_code, again.json()["kind"]) == (409, "not-enrolled")
        assert client.post("/enroll", files=recordings, data={"name": " "}).status_code == 422
        assert client.delete(path).json()["overwritten"]
        found = client.post("/identify", files=files(audio=paths[1])).json()
        assert (found["name"], found["candidates"]) == (None, [])
        assert client.get(path).status_code == client.delete(path).status_code == 404
        assert client.get("/health").json()["gallery"]


def test_a_gallery_of_another_encoder_is_refused(
    ask: Ask, run: Path, embedder: Embedder, tmp_path: Path
) -> None:
    identity = EncoderIdentity("other", "0" * 64, "", embedder.embedding_dim)
    Gallery.create(tmp_path / "gallery.db", identity).close()
    for words, said in (
        (
            [tmp_path / "gallery.db", "--encoder", run],
            "vectors of different encoders cannot be compared",
        ),
        ([tmp_path / "none.db", "--encoder", run], "none.db"),
        ([], "give an --encoder, such as campplus-int8"),
    ):
        answer = ask("serve", *words, "--port", 0)
        assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
        assert said in answer.err


def test_the_deployment_on_ray_serve_that_the_page_shows(
    embedder: Embedder, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for Ray Serve, which takes what builds the application in each replica."""
    page = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8")
    block = page[page.index("    # serve_timbral.py") :].partition("\n`build` runs")[0]
    gallery = Gallery.create(tmp_path / "gallery.db", embedder)
    builders: list[Callable[[], Any]] = []

    class Serve:
        @staticmethod
        def ingress(build: Callable[[], Any]) -> Callable[[Any], Any]:
            builders.append(build)
            return lambda replica: replica

        @staticmethod
        def deployment(**_: object) -> Callable[[Any], Any]:
            return lambda replica: SimpleNamespace(bind=lambda: replica)

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(serve=Serve))
    monkeypatch.setattr(timbral, "load_encoder", lambda _: embedder)
    monkeypatch.setattr(timbral, "Gallery", lambda _: gallery)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setenv("TIMBRAL_TOKENS", TOKEN)
    exec(textwrap.dedent(block), {})
    with TestClient(builders[0](), headers={"authorization": f"Bearer {TOKEN}"}) as client:
        data = {"name": "a", "force": "true"}
        assert client.post("/enroll", files=files(audio=paths[0]), data=data).status_code == 200
        assert [each["name"] for each in client.get("/voices").json()["voices"]] == ["a"]


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


def test_what_is_missing_is_answered_with_the_install_line(
    ask: Ask, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    answer = ask("serve", "--encoder", run)
    assert answer.code == 2
    assert "[serve]" in answer.err
    assert "install fastapi>=" in answer.err.replace("'", "")
