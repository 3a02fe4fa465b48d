"""Published weights: downloaded from a package index or a Hub, with the originals' vectors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from timbral import api
from timbral.checkpoints import catalog, weight_sources
from timbral.checkpoints.encoder_sizes import count_sizes, describe
from timbral.checkpoints.foreign import registry
from timbral.checkpoints.foreign.base import ConvertedWeights
from timbral.checkpoints.foreign.registry import FORMATS
from timbral.checkpoints.known_names import OWN_ENCODERS
from timbral.checkpoints.published import PUBLISHED
from timbral.checkpoints.weights_of_others import WEIGHTS_OF_OTHERS
from timbral.demo.shipped import VOICES
from timbral.encoders.registry import ENCODERS
from timbral.errors import CheckpointError, ConfigError
from timbral.inference.embedder import Embedder
from timbral.io.files import file_sha256

GOLDEN = Path(__file__).parent / "golden"


GOLDENS = {"ge2e-lstm": "resemblyzer.npz", "campplus-zh-en": "speakerlab.npz"}


@pytest.fixture(scope="module", params=sorted(GOLDENS))
def downloaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Embedder]:
    """Weights from the package index; skipped where that is out of reach."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIMBRAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        with pytest.raises(CheckpointError, match=f"timbral download {name}"):
            api.load_encoder(name)
        try:
            folder = api.download(name)
        except CheckpointError as error:
            if "could not be downloaded" in str(error):
                pytest.skip(str(error))
            raise
        assert api.download(name) == folder
        return name, api.load_encoder(name, device="cpu")


def test_vectors_equal_the_originals(downloaded: tuple[str, Embedder]) -> None:
    """Cosine and largest difference to the original, run alone on each utterance."""
    name, embedder = downloaded
    golden = np.load(GOLDEN / GOLDENS[name])
    assert len(golden["names"]) == 20
    expected = golden["vectors"]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = np.stack([embedder.encode(VOICES / path) for path in golden["names"]])
    assert np.einsum("ne,ne->n", vectors, expected).min() >= 0.9999
    assert np.abs(vectors - expected).max() <= 1e-4


def test_name_license_and_preprocessing(downloaded: tuple[str, Embedder]) -> None:
    name, embedder = downloaded
    assert (embedder.name, embedder.license) == (name, "Apache-2.0")
    if name == "ge2e-lstm":
        assert embedder.preprocessing.trim == "webrtc"
        assert embedder.network.windows is not None
        assert embedder.network.windows.step == 77


def test_unknown_names_are_errors() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'ge2e-lstm'"):
        api.load_encoder("ge2e-lst")
    with pytest.raises(ConfigError, match="unknown weights 'camplus'"):
        api.download("camplus")


def test_other_files_than_expected_are_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "pretrained.pt"
    damaged.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"has SHA-256 .* expected 39373b86"):
        api.download("ge2e-lstm", damaged)
    for file in ("any.bin", "pytorch_model.bin"):
        (tmp_path / file).write_bytes(b"of somebody else")
        with pytest.raises(CheckpointError, match=r"has SHA-256 .*, but .* of .*/.* has"):
            api.download("resnet34-voxceleb", tmp_path / file)


def test_a_package_that_cannot_be_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = PUBLISHED["ge2e-lstm"]
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    wheel = replace(entry.source, package="no-index-has-this-package-of-timbral==9")
    fake = replace(entry, source=wheel)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(PUBLISHED, "ge2e-lstm", fake)
    with pytest.raises(CheckpointError, match=r"pip could not download .*package index"):
        api.download("ge2e-lstm")
    monkeypatch.undo()

    class Result:
        returncode = 0
        stderr = ""

    def write_empty_wheel(command: list[str], **options: object) -> Result:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x.whl", "w"):
            return Result()

    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path))
    monkeypatch.setattr(weight_sources.subprocess, "run", write_empty_wheel)
    with pytest.raises(CheckpointError, match=r"contains no resemblyzer/pretrained\.pt"):
        api.download("ge2e-lstm")


class TinyHub(BaseHTTPRequestHandler):
    """What the Hub's client asks of a Hub, over the folder of a tiny WavLM."""

    folder = GOLDEN / "wavlm-base-tiny"
    repository = "microsoft/wavlm-base-plus-sv"
    commit = PUBLISHED["wavlm-base-plus-sv"].source.version

    def do_HEAD(self) -> None:
        self.answer(with_content=False)

    def do_GET(self) -> None:
        self.answer(with_content=True)

    def answer(self, with_content: bool) -> None:
        path = self.path.partition("?")[0]
        file = self.folder / path.rpartition("/")[2]
        files = list(self.folder.iterdir())
        if path == f"/api/models/{self.repository}/revision/{self.commit}":
            siblings = [{"rfilename": entry.name} for entry in files]
            answer = {"id": self.repository, "sha": self.commit, "siblings": siblings}
            body, kind = json.dumps(answer).encode(), "application/json"
        elif path.startswith(f"/api/models/{self.repository}/tree/"):
            answer = [
                {"type": "file", "oid": "0", "size": entry.stat().st_size, "path": entry.name}
                for entry in files
            ]
            body, kind = json.dumps(answer).encode(), "application/json"
        elif path.startswith(f"/{self.repository}/resolve/{self.commit}/") and file.is_file():
            body, kind = file.read_bytes(), "application/octet-stream"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')  # as of large files
        self.end_headers()
        if with_content:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), TinyHub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def hub_files(home: Path) -> list[Path]:
    """The weights in the cache of the Hub's client."""
    size = (TinyHub.folder / "model.safetensors").stat().st_size
    return [path for path in home.rglob("blobs/*") if path.stat().st_size == size]


def damage(path: Path) -> None:
    """Change a number in a file of weights, which stays as long as it was."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 0x40
    path.chmod(0o644)
    path.write_bytes(content)


def test_weights_from_a_hub(
    hub: str, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "timbral", *arguments]
        home = {"HF_HOME": str(tmp_path / "hf"), "TIMBRAL_CACHE": str(tmp_path / "cache")}
        settings = {**home, "HF_ENDPOINT": hub, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        environment = {**os.environ, **settings}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    downloaded = run("download", "wavlm-base-plus-sv")
    assert downloaded.returncode == 0, downloaded.stderr
    [metadata] = (tmp_path / "cache").glob("wavlm-base-plus-sv-*/checkpoint.json")
    content = json.loads(metadata.read_text("utf-8"))
    original = TinyHub.folder / "model.safetensors"
    assert content["origin"]["version"] == TinyHub.commit
    assert content["origin"]["files"]["model.safetensors"] == file_sha256(original)
    for path in (metadata.with_name("model.safetensors"), *hub_files(tmp_path / "hf")):
        damage(path)  # as long as before, and the Hub's own client would not notice
    again = run("download", "wavlm-base-plus-sv")
    assert again.returncode == 0, again.stderr
    assert file_sha256(metadata.with_name("model.safetensors")) == content["weights_sha256"]
    files = [str(VOICES / name) for name in np.load(GOLDEN / "transformers.npz")["base-tiny.names"]]
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    verified = ask("verify", "wavlm-base-plus-sv", files[0], files[1])
    vectors = np.load(GOLDEN / "transformers.npz")["base-tiny.vectors"][:2]
    cosine = vectors[0] @ vectors[1] / np.prod(np.linalg.norm(vectors, axis=1))
    assert f"cosine {cosine:.3f}" in verified.out, verified.err
    absent = run("download", "wavlm-base")
    assert absent.returncode == 2
    assert "a local copy of it can be given as --weights-dir" in absent.stderr
    assert "Traceback" not in absent.stderr


def test_damaged_weights_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    folder = api.download("wavlm-base-plus-sv", GOLDEN / "wavlm-base-tiny")
    damage(folder / "model.safetensors")
    for name in ("wavlm-base-plus-sv", folder, folder / "model.safetensors"):
        with pytest.raises(CheckpointError, match=r"is damaged: its SHA-256 is .* convert it ag"):
            api.load_encoder(name)
    api.download("wavlm-base-plus-sv", GOLDEN / "wavlm-base-tiny")
    by_folder, by_file = (api.load_encoder(folder / name) for name in ("", "model.safetensors"))
    assert (
        by_file.weights_sha256
        == by_folder.weights_sha256
        == file_sha256(folder / "model.safetensors")
    )


def test_a_copy_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    copy = tmp_path / "copy"
    shutil.copytree(GOLDEN / "wavlm-base-tiny", copy)
    conversions = []
    read_foreign = registry.read_foreign

    def counted(source: Path, format: str | None = None) -> ConvertedWeights:
        conversions.append(source)
        return read_foreign(source, format)

    monkeypatch.setattr(registry, "read_foreign", counted)
    first = api.load_encoder("wavlm-base-plus-sv", weights_dir=copy)
    assert (
        api.load_encoder("wavlm-base-plus-sv", weights_dir=copy).weights_sha256
        == first.weights_sha256
    )
    assert len(conversions) == 1
    normalizing = {"do_normalize": True}
    (copy / "preprocessor_config.json").write_text(json.dumps(normalizing), "utf-8")
    api.load_encoder("wavlm-base-plus-sv", weights_dir=copy)
    assert len(conversions) == 2


def test_every_format_says_whose_weights_it_reads_and_their_license(ask: Ask) -> None:
    assert [one.format for one in WEIGHTS_OF_OTHERS] == sorted(FORMATS)
    of_all = {name for one in WEIGHTS_OF_OTHERS for name in one.architectures}
    assert of_all == ENCODERS.keys() - {"tdnn", "campplus-small"}
    rows = {row.name: row for row in api.models()}
    assert [one.license for one in rows["resnet"].weights_of_others][:1] == ["CC-BY-4.0"]
    assert rows["tdnn"].weights_of_others == ()
    listed = ask("models").out
    assert "redimnet                redimnet; ID R&D, Palabra AI, license MIT" in listed
    assert "ddvc                    ecapa, wavlm; ddvc, license not stated" in listed


def test_listed_sizes_are_those_of_the_networks() -> None:
    configs = {name: encoder.config_type() for name, encoder in ENCODERS.items()}
    configs |= {name: entry.encoder for name, entry in PUBLISHED.items()}
    assert {name: count_sizes(configs[name]) for name in catalog.SIZES} == catalog.SIZES
    assert catalog.SIZES.keys() >= PUBLISHED.keys()
    built_in = {name: cls for name, cls in ENCODERS.items() if name not in OWN_ENCODERS}
    assert {name: describe(cls) for name, cls in built_in.items()} == catalog.ARCHITECTURES
