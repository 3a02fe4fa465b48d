"""The HTTP service: the library's answers and refusals, its pages, its gallery, its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import torch

from conftest import Ask

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

import timbral
from served import (
    PATIENCE_SECONDS,
    TOKEN,
    files,
    in_threads,
    number_in_work,
    serving,
    three_recordings,
    wait_until,
    wav,
)
from timbral.audio.decode import Wave, decode
from timbral.audio.quality.risks import Risk
from timbral.gallery.encoder_identity import EncoderIdentity
from timbral.gallery.gallery import Gallery
from timbral.inference.embedder import Embedder
from timbral.serving import extras
from timbral.serving.server import listen


@pytest.fixture(scope="module")
def paths(voices: Path) -> list[Path]:
    return three_recordings(voices)


@pytest.fixture(scope="module")
def client(embedder: Embedder) -> Iterator[TestClient]:
    with serving(embedder, max_seconds=20, max_upload_mb=1) as client:
        yield client


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
    text = {"first": (None, "a.wav"), "second": (None, "b.wav")}
    assert told("/verify", files=text) == (
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
    alone = "application/x-www-form-urlencoded"  # as curl --data-binary @a.wav sends it
    assert told("/embed", content=paths[0].read_bytes(), headers={"Content-Type": alone}) == (
        f"the body is {alone}; send form fields, as multipart/form-data: with curl: -F audio=@a.wav"
    )
    fields = {f"f{number}": (None, "") for number in range(1_001)}
    many = client.post("/embed", files=fields).json()
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
    command += ["--timeout-seconds", str(PATIENCE_SECONDS)]
    environment = {**os.environ, "TIMBRAL_TOKENS": ""}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        address = server.stderr.readline().split()[-1]
        content = paths[0].read_bytes()
        statuses: list[int] = []

        def ask(row: int) -> None:
            uploads = [("audio", content)] * 10
            statuses.append(client.post("/embed", files=uploads).status_code)

        def number_taken() -> int:
            answered = len(statuses)  # before the others: none counts twice
            return answered + number_in_work(client.get("/metrics").text)

        client = httpx.Client(base_url=address, timeout=PATIENCE_SECONDS)
        wait_until(lambda: client.get("/health").status_code == 200)
        threads = in_threads(ask, 4)
        wait_until(lambda: number_taken() == 4)
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        client.close()
        assert server.wait(PATIENCE_SECONDS) == 0
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


def test_what_is_missing_is_answered_with_the_install_line(
    ask: Ask, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    answer = ask("serve", "--encoder", run)
    assert answer.code == 2
    assert "[serve]" in answer.err
    assert "install fastapi>=" in answer.err.replace("'", "")
