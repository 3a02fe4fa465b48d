"""An encoder as a page for browsers, and the page in a real Chromium."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from conftest import SMALL, Ask
from timbral import api
from timbral.audio.preprocessing import Preprocessing
from timbral.audio.quality.measure import measure
from timbral.calibration.calibration import Calibration, FittedOn, OperatingPoint
from timbral.calibration.calibration_file import calibration_document
from timbral.calibration.conditions import Conditions, Ranges
from timbral.demo.shipped import VOICES
from timbral.embeddings.vectors import unit_length
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError, DataError
from timbral.exporting import browser_page, browser_runtime
from timbral.exporting.browser_page import export_page
from timbral.exporting.browser_runtime import FILES, read_runtime
from timbral.inference.decision import PairScore, Question, decide
from timbral.inference.embedder import Embedder

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = Path(browser_page.__file__).parent / "page"
CHROMIUM = shutil.which("chromium")
RECORDINGS = [sorted((VOICES / name).glob("*.ogg"))[0] for name in ("am_adam", "af_bella")]
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


pytestmark = pytest.mark.usefixtures("short_parity")


@pytest.fixture(scope="module")
def encoder() -> Embedder:
    torch.manual_seed(0)
    made = Embedder(
        ENCODERS["tdnn"](SMALL["tdnn"]).eval(),
        Preprocessing(),
        name="small",
        weights_sha256="3" * 64,
    )
    made.calibration = made_up_calibration(made)
    return made


def made_up_calibration(encoder: Embedder) -> Calibration:
    """One that uses conditions and takes directions out."""
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.standard_normal((encoder.embedding_dim, 2)))[0].T
    return Calibration(
        encoder.name,
        encoder.weights_sha256,
        encoder.embedding_identity(),
        offset=(-2.0, 0.1, 0.2, -0.3, 0.4, 0.05),
        scale=(4.0, 0.3, -0.1, 0.2, 0.1, 0.05),
        ranges=Ranges((0.5, 20.0), (3000.0, 8000.0), (0.0, 45.0)),
        limits=(-6.0, 6.0),
        points=(
            OperatingPoint(-1.0, 0.1, 0.2, 0.0, 0.1),
            OperatingPoint(2.0, 0.01, 0.02, 0.1, 0.2),
        ),
        fitted_on=FittedOn("made-up voices", "1" * 64, 10, 50, 50, 0.5, 0.4, 0.6, 0.45),
        nuisance=tuple(map(tuple, directions.tolist())),
    )


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What a page needs of the npm package, as npm lays it; with other content."""
    folder = tmp_path / "node_modules" / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in FILES:
        (folder / "dist" / name).write_text(f"not {name}")
    return folder


def test_a_page_has_all_its_files(encoder: Embedder, package: Path, tmp_path: Path) -> None:
    page = tmp_path / "page"
    made = export_page(encoder, page, onnxruntime_web=package)
    files = {str(path.relative_to(page)) for path in page.rglob("*") if path.is_file()}
    assert {f"onnxruntime/{name}" for name in FILES} < files
    assert made.num_bytes == sum(path.stat().st_size for path in page.rglob("*") if path.is_file())
    assert made.has_calibration
    named: set[str] = set()
    for path in (*page.glob("*.js"), page / "index.html"):
        text = path.read_text()
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https:" not in text
        named |= set(re.findall(r'(?:from "\./|src="|href=")([\w./-]+\.(?:m?js|css))"', text))
    assert named <= files
    described = json.loads((page / "encoder.json").read_text())
    assert described["weights_sha256"] == encoder.weights_sha256
    assert len(described["quality"]["models"]["speech"]["weights"]) == 38
    loaded = api.load_encoder(page / "encoder.onnx")
    vectors = [each.encode(RECORDINGS[0]) for each in (encoder, loaded)]
    assert float(vectors[0] @ vectors[1]) > 0.9999
    export_page(encoder, page, onnxruntime_web=package)  # replaces an earlier page


def test_what_cannot_be_a_page_is_refused(
    encoder: Embedder, package: Path, tmp_path: Path, ask: Ask
) -> None:
    trimmed = Embedder(encoder.network, Preprocessing(trim="energy"), name="small")
    with pytest.raises(ConfigError, match=r"small: recordings must be trimmed for it \(energy\)"):
        export_page(trimmed, tmp_path / "page", onnxruntime_web=package)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        export_page(encoder, tmp_path / "notes", onnxruntime_web=package)
    assert not (tmp_path / "page").exists()
    for words, said in (
        ((), "give exactly one of --output FILE.onnx, --sherpa FILE.onnx and --web FOLDER"),
        (
            ("--output", "a.onnx", "--web", "page"),
            "give exactly one of --output FILE.onnx, --sherpa FILE.onnx and --web FOLDER",
        ),
        (("--output", "a.onnx", "--onnxruntime-web", "."), "is only for --web"),
        (("--web", "page", "--precision", "int4"), "allowed: fp32, fp16 or int8"),
        (("--sherpa", "a.onnx", "--precision", "int4"), "allowed: fp32, fp16 or int8"),
        (("--web", tmp_path / "notes"), "choose a new or empty folder as --web"),
    ):
        answer = ask("export", "campplus-zh-en", *words)
        assert answer.code == 2
        assert said in answer.err


@pytest.mark.parametrize("name", [".git/config", "CNAME", "onnxruntime/mine.js"])
def test_files_of_others_in_a_page_are_not_removed(
    name: str, encoder: Embedder, package: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    mine = page / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    (page / "encoder.json").write_text("{}")
    with pytest.raises(DataError, match="which was not written by `export` and would be removed"):
        export_page(encoder, page, onnxruntime_web=package)
    assert mine.read_text() == "mine"


def test_the_package_is_read_as_npm_lays_and_packs_it(package: Path, tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in FILES:
            packed.add(package / "dist" / name, f"package/dist/{name}")
    assert read_runtime(archive) == read_runtime(package)
    (package / "dist" / FILES[-1]).unlink()
    with pytest.raises(ConfigError, match=r"ort-wasm-simd-threaded\.wasm is missing"):
        read_runtime(package)
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(ConfigError, match="is not an archive of the npm package"):
        read_runtime(archive)


@pytest.mark.parametrize("damage", ["links in a circle", "a link out of it", "bytes", "text"])
def test_damaged_archives_are_told_in_one_line(damage: str, tmp_path: Path) -> None:
    archive = tmp_path / "onnxruntime-web.tgz"
    content = np.random.default_rng(0).choice(list(b"abcd"), 300_000).astype(np.uint8).tobytes()
    with tarfile.open(archive, "w:gz") as packed:
        for name in FILES:
            member = tarfile.TarInfo(f"package/dist/{name}")
            if "link" in damage:
                member.type = tarfile.SYMTYPE
                member.linkname = name if "circle" in damage else "/etc/passwd"
            else:
                member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    if damage == "bytes":
        packed_bytes = bytearray(archive.read_bytes())
        packed_bytes[-40_000:-20_000] = b"\xff" * 20_000
        archive.write_bytes(packed_bytes)
    if damage == "text":
        archive.write_text("not an archive")
    with pytest.raises(ConfigError, match="is not an archive of the npm package") as refused:
        read_runtime(archive)
    assert "\n" not in str(refused.value)


def test_without_npm_it_is_said_how_to_get_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    monkeypatch.setattr(browser_runtime.shutil, "which", lambda name: None)
    with pytest.raises(CheckpointError, match=r"with npm, which is not installed; .* `npm pack"):
        read_runtime()


DECIDE = """
import { decide } from %s;
import { readFileSync } from "node:fs";
const { calibration, trials } = JSON.parse(readFileSync(0, "utf8"));
const answers = trials.map(([vectors, sides]) => decide(vectors, sides, calibration));
console.log(JSON.stringify(answers));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.parametrize("measured", [True, False])
def test_the_page_decides_as_decide_does(encoder: Embedder, measured: bool) -> None:
    """Its calibration.js alone, also below the ranges and where conditions are not known."""
    calibration = made_up_calibration(encoder)
    if not measured:
        calibration = replace(calibration, offset=(-2.0,), scale=(4.0,), measured=False)
    generator = np.random.default_rng(1)
    vectors = unit_length(generator.standard_normal((40, 2, encoder.embedding_dim)))
    seconds, hertz = generator.uniform(0.2, 25, (40, 2)), generator.uniform(2500, 8000, (40, 2))
    sides = [
        [
            {"speech_seconds": s, "bandwidth_hz": h, "snr_db": None}
            for s, h in zip(*each, strict=True)
        ]
        for each in zip(seconds.tolist(), hertz.tolist(), strict=True)
    ]
    asked = {
        "calibration": calibration_document(calibration),
        "trials": list(zip(vectors.tolist(), sides, strict=True)),
    }
    script = DECIDE % json.dumps((PAGE / "calibration.js").as_uri())
    run = subprocess.run(
        ["node", "--input-type=module", "--eval", script],
        input=json.dumps(asked), capture_output=True, text=True, check=True,
    )  # fmt: skip
    for row, answer in enumerate(json.loads(run.stdout)):
        one, other = vectors[row].astype(np.float32)
        first, second = (
            Conditions(np.array([seconds[row, i]]), np.array([hertz[row, i]]), np.array([60.0]))
            for i in (0, 1)
        )
        score = PairScore.of(one, other, calibration)
        decision = decide(score, Question(calibration=calibration), first, second)
        assert answer["same"] == decision.same
        assert answer["probability"] == pytest.approx(decision.probability, abs=1e-5)
        assert answer["threshold"] == pytest.approx(decision.threshold, abs=1e-5)
        assert answer["bound"] == decision.false_accept_bound
        assert bool(answer["warnings"]) == bool(decision.warnings)


@pytest.fixture(scope="module")
def site(encoder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page with the real onnxruntime-web."""
    folder = tmp_path_factory.mktemp("site") / "page"
    try:
        runtime = read_runtime()
    except CheckpointError as error:
        pytest.skip(f"needs the npm package onnxruntime-web: {error}")
    package = tmp_path_factory.mktemp("package")
    (package / "dist").mkdir()
    for name, content in runtime.items():
        (package / "dist" / name).write_bytes(content)
    export_page(encoder, folder, onnxruntime_web=package)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def opened(site: str, tmp_path: Path) -> Iterator[Page]:
    """The page, in a browser whose microphone plays a shipped voice."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    soundfile.write(tmp_path / "spoken.wav", soundfile.read(RECORDINGS[0])[0], 16_000)
    options = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={tmp_path / 'spoken.wav'}",
    ]
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        phone = {"width": 390, "height": 800}
        yield browser.new_context(permissions=["microphone"], viewport=phone).new_page()
        browser.close()


def open_site(page: Page, site: str) -> None:
    page.goto(site)
    page.wait_for_selector("body[data-ready]")


@pytest.fixture
def page(opened: Page, site: str) -> Iterator[Page]:
    """Whose console stays empty, and which asks nobody else for anything."""
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    open_site(opened, site)
    yield opened
    assert said == []
    assert [url for url in asked if not url.startswith((site, "blob:", "data:"))] == []


def compare(page: Page, paths: list[Path]) -> dict[str, Any]:
    for number, path in enumerate(paths):
        page.locator(".slot").nth(number).locator("input[type=file]").set_input_files(path)
    page.locator("button.main").click()
    page.locator(".verdict:not(.working)").wait_for(timeout=60_000)
    answer: dict[str, Any] = page.evaluate(
        "({...window.timbralAnswer, vectors: window.timbralAnswer.vectors.map(v => Array.from(v))})"
    )
    return answer


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of playwright's processes
def test_the_page_answers_as_verify_does(page: Page, encoder: Embedder, tmp_path: Path) -> None:
    """Vectors, measures and verdict, from files at the encoder's rate and at another one."""
    for rate, least in ((16_000, 0.99999), (48_000, 0.9999), (44_100, 0.9999)):
        paths = []
        for number, recording in enumerate(RECORDINGS):
            wave = soxr.resample(soundfile.read(recording)[0], 16_000, rate)
            paths.append(tmp_path / f"{rate}-{number}.wav")
            soundfile.write(paths[-1], wave, rate)
        answer = compare(page, paths)
        for path, vector in zip(paths, answer["vectors"], strict=True):
            assert float(encoder.encode(path) @ np.array(vector)) >= least, rate
        decision = encoder.verify(*paths)
        assert decision.probability is not None
        assert answer["probability"] == pytest.approx(decision.probability, abs=0.01), rate
        assert answer["same"] == decision.same
    shown = page.locator(".result").inner_text()
    assert "Probability of the same speaker" in shown
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_recording_of_the_microphone_is_compared_without_network(page: Page) -> None:
    """Once the first comparison has loaded the encoder."""
    compare(page, RECORDINGS)
    page.context.set_offline(True)
    record = page.locator(".slot").nth(1).locator("button")
    record.click()
    page.wait_for_timeout(3000)
    assert record.get_attribute("aria-pressed") == "true"
    record.click()
    page.get_by_text("Recorded,").wait_for()
    page.locator("button.main").click()
    page.locator(".verdict:not(.working)").wait_for(timeout=60_000)
    assert "Probability of the same speaker" in page.locator(".result").inner_text()


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_encoder_that_cannot_be_loaded_is_told(opened: Page, site: str) -> None:
    open_site(opened, site)
    opened.context.set_offline(True)
    for number, path in enumerate(RECORDINGS):
        opened.locator(".slot").nth(number).locator("input[type=file]").set_input_files(path)
    opened.locator("button.main").click()
    opened.get_by_text("The encoder could not be loaded: reload this page.").wait_for()


TO_A_STRANGER = """async (stranger) => {
    const refused = [];
    document.addEventListener("securitypolicyviolation", (event) => {
        refused.push(event.effectiveDirective);
    });
    await fetch(stranger, { method: "POST", body: "a voice" }).catch(() => {});
    navigator.sendBeacon(stranger, "a voice");
    new Image().src = stranger;
    for (const kind of ["script", "iframe", "audio"]) {
        const made = document.createElement(kind);
        made.src = stranger;
        document.body.append(made);
    }
    await new Promise((done) => setTimeout(done, 1000));
    return refused;
}"""


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_page_can_send_nothing_to_another_server(opened: Page, site: str) -> None:
    asked: list[str] = []

    class Stranger(QuietHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

        do_POST = do_GET

    open_site(opened, site)
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        refused = opened.evaluate(TO_A_STRANGER, f"http://127.0.0.1:{server.server_port}/voice")
        server.shutdown()
    assert asked == []
    assert set(refused) >= {"connect-src", "img-src", "script-src-elem", "frame-src", "media-src"}


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_measures_are_those_of_check(page: Page) -> None:
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal(40_000)
    tone = 0.5 * np.sin(np.arange(50_000) * 0.2)
    spoken = soundfile.read(RECORDINGS[0])[0]
    for wave in (spoken, noise, tone, np.clip(8 * spoken, -1, 1), spoken[:9000]):
        samples = wave.astype(np.float32)
        found = page.evaluate(
            """async (samples) => {
                const { measure } = await import("./quality.js");
                const site = await (await fetch("encoder.json")).json();
                return measure(Float32Array.from(samples), site.quality);
            }""",
            samples.tolist(),
        )
        expected = measure(samples, 16_000).as_dict()
        for name, value in found.items():
            if expected[name] is None:
                assert value is None, name
            else:
                assert value == pytest.approx(expected[name], rel=1e-3, abs=1e-3), name


@pytest.mark.slow
@in_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_the_page_cannot_use_is_told_in_words(page: Page, tmp_path: Path) -> None:
    page.locator("button.main").click()
    page.get_by_text("Record or choose both recordings first.").wait_for()
    wrong = tmp_path / "notes.wav"
    wrong.write_text("no audio")
    for slot, path in enumerate((RECORDINGS[0], wrong)):
        page.locator(".slot").nth(slot).locator("input[type=file]").set_input_files(path)
    page.locator("button.main").click()
    page.get_by_text("This browser cannot decode notes.wav as audio.").wait_for()
    for number, (wave, said) in enumerate(
        (
            (np.zeros(16_000), "Second recording: it is silent."),
            (np.full(8_000 * 3_600, 0.1), "Second recording: longer than 120 s; cut it."),
            (np.full(100, 0.1), "s of audio are needed at least."),
        )
    ):
        wrong = tmp_path / f"{number}.wav"
        soundfile.write(wrong, np.stack([wave, wave], 1), 8_000 if len(wave) > 16_000 else 16_000)
        page.locator(".slot").nth(1).locator("input[type=file]").set_input_files(wrong)
        page.locator("button.main").click()
        page.get_by_text(said).wait_for()
