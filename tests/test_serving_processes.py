"""Services as processes: several on one gallery, killed ones, changed uploads."""

from __future__ import annotations

import http.client
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from timbral.demo.shipped import VOICES
from timbral.gallery.gallery import Gallery

pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
CLIP = sorted((VOICES / "am_adam").glob("*.ogg"))[0]
MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
)


@contextmanager
def service(run: Path, gallery: Path | str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A process and its address."""
    command = [sys.executable, "-m", "timbral", "serve", str(gallery), "--create", "--port", "0"]
    command += ["--encoder", str(run), "--quiet", "--max-seconds", "60"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield process.stderr.readline().split()[-1], process
        finally:
            process.terminate()
            process.wait(20)


def enroll(address: str, name: str, clip: bytes) -> int:
    answer = httpx.post(
        f"{address}/enroll", files={"audio": clip}, data={"name": name, "force": "true"}, timeout=30
    )
    return answer.status_code


def names(address: str) -> list[str]:
    return [each["name"] for each in httpx.get(f"{address}/voices").json()["voices"]]


def test_two_services_share_a_gallery(run: Path, tmp_path: Path) -> None:
    clip = CLIP.read_bytes()
    gallery = tmp_path / "gallery.db"
    with service(run, gallery) as (one, _), service(run, gallery) as (other, _):
        for number in range(3):
            assert enroll(one, f"a{number}", clip) == enroll(other, f"b{number}", clip) == 200
            assert names(one) == names(other)
            found = httpx.post(f"{other}/identify", files={"audio": clip}).json()
            assert found["num_voices"] == 2 * (number + 1)
        assert httpx.delete(f"{other}/voices/a1").status_code == 200
        assert names(one) == ["a0", "a2", "b0", "b1", "b2"]


def enroll_until_killed(address: str, prefix: str, acknowledged: list[str]) -> None:
    clip = CLIP.read_bytes()
    for row in range(1000):
        try:
            status = enroll(address, f"{prefix} {row}", clip)
        except httpx.TransportError:  # killed
            return
        if status == 200:
            acknowledged.append(f"{prefix} {row}")


def test_a_killed_service_has_what_it_acknowledged(run: Path, tmp_path: Path) -> None:
    gallery, draw = tmp_path / "gallery.db", random.Random(0)
    acknowledged: list[str] = []
    for number in range(3):
        before = len(acknowledged)
        with service(run, gallery) as (address, process):
            threads = [
                threading.Thread(
                    target=enroll_until_killed, args=(address, f"{number} {client}", acknowledged)
                )
                for client in range(3)
            ]
            for thread in threads:
                thread.start()
            while len(acknowledged) == before:
                time.sleep(0.01)
            time.sleep(draw.uniform(0.0, 0.7))
            process.kill()
            for thread in threads:
                thread.join()
    assert set(acknowledged) <= {voice.name for voice in Gallery(gallery).voices()}
    with sqlite3.connect(gallery) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_changed_uploads_are_no_errors_of_the_service(run: Path, tmp_path: Path) -> None:
    from mutate import MUTATIONS

    clip = CLIP.read_bytes()
    statuses: Counter[int] = Counter()
    with service(run, tmp_path / "gallery.db") as (address, process):
        client = httpx.Client(base_url=address, timeout=30)
        resident = []
        for number in range(200):
            changed = MUTATIONS["bytes"](random.Random(number), clip)
            statuses[client.post("/embed", files={"audio": changed}).status_code] += 1
            body = MUTATIONS["bytes"](random.Random(number), MULTIPART)
            headers = {"content-type": "multipart/form-data; boundary=x"}
            statuses[client.post("/embed", content=body, headers=headers).status_code] += 1
            if number in (60, 199):
                status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
                resident.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
        client.close()
    assert set(statuses) <= {200, 400, 413, 415, 422}, statuses
    assert resident[1] < 1.1 * resident[0] + 20


def test_an_upload_that_breaks_off_harms_nobody(run: Path, tmp_path: Path) -> None:
    with service(run, tmp_path / "gallery.db") as (address, _):
        host = address.removeprefix("http://")
        for _ in range(5):
            connection = http.client.HTTPConnection(host)
            connection.putrequest("POST", "/embed")
            connection.putheader("Content-Length", "100000")
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.endheaders()
            connection.send(b"--x\r\n")
            connection.close()
        answer = httpx.post(f"{address}/embed", files={"audio": CLIP.read_bytes()}, timeout=30)
        assert answer.status_code == 200
        text = httpx.get(f"{address}/metrics").text
        assert "timbral_in_work 0.0" in text
        assert 'status="500"' not in text
