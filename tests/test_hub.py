"""Encoders on the Hugging Face Hub: its real client, against a server of the same API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from conftest import Ask
from fake_hub import TOKEN, FakeHub, Repository, serving
from timbral import api
from timbral.checkpoints.hub_names import HubName, hub_name
from timbral.demo.shipped import VOICES
from timbral.errors import CheckpointError, ConfigError
from timbral.inference.embedder import Embedder

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"  # of the Hub's client, when it uploads
)

GOLDEN = Path(__file__).parent / "golden" / "wavlm-base-tiny"
WAVLM = {path.name: path.read_bytes() for path in GOLDEN.iterdir()}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A Hub without repositories, and a user without anything downloaded."""
    from huggingface_hub import constants, hf_api

    server.repositories.clear()
    server.large.clear()
    server.asked.clear()
    monkeypatch.setenv("TIMBRAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
    template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return server


def test_names_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_name("user/repo") == HubName("user/repo", "main")
    assert hub_name("user/repo@v1.0") == HubName("user/repo", "v1.0")
    assert hub_name("hub:user/repo@pr/3") == HubName("user/repo", "pr/3")
    for path in ("repo", "/user/repo", "a/b/c", "../x", "user/", "user/repo@", "s3://user/repo"):
        assert hub_name(path) is None, path
    (tmp_path / "runs").mkdir()
    assert hub_name("runs/typo") is None, "there is a folder runs"
    assert hub_name("hub:runs/typo") == HubName("runs/typo", "main")


def test_foreign_weights_are_pinned_to_a_commit(hub: FakeHub) -> None:
    repository = hub.repositories["some/wavlm"] = Repository(license="cc-by-sa-3.0")
    commit = repository.commit(WAVLM)
    with pytest.raises(CheckpointError, match="run: timbral download some/wavlm"):
        api.load_encoder("some/wavlm")
    assert not hub.asked, "nothing is asked unless a download is"
    first = api.load_encoder("some/wavlm", download=True)
    assert (first.name, first.license) == (f"some/wavlm@{commit}", "cc-by-sa-3.0")
    origin = api.resolve("some/wavlm").origin
    assert (origin["source"], origin["version"]) == ("Hub some/wavlm", commit)
    local = api.load_encoder(GOLDEN)
    paths = sorted(VOICES.glob("*/*.ogg"))[:2]
    np.testing.assert_allclose(first.encode(paths), local.encode(paths), atol=1e-6)

    config = json.loads(WAVLM["config.json"]) | {"note": "newer"}
    newer = repository.commit({**WAVLM, "config.json": json.dumps(config).encode()})
    hub.asked.clear()
    assert api.load_encoder("some/wavlm", download=True).name == first.name, "it stays"
    assert api.load_encoder(first.name).weights_sha256 == first.weights_sha256
    assert not hub.asked
    assert api.load_encoder(f"some/wavlm@{newer}", download=True).name.endswith(newer)
    assert api.load_encoder("some/wavlm").name == first.name
    api.download("some/wavlm")
    assert api.load_encoder("some/wavlm").name.endswith(newer), "until it is downloaded again"


def test_offline_encoders_come_from_the_hubs_own_cache(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, hf_hub_download

    repository = hub.repositories["some/wavlm"] = Repository()
    commit = repository.commit(WAVLM)
    for file in WAVLM:  # by another program, into the Hub's own cache
        hf_hub_download("some/wavlm", file)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert api.load_encoder("some/wavlm", download=True).name == f"some/wavlm@{commit}"
    assert not hub.asked
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids"):
        api.load_encoder("some/other", download=True)


def test_a_gated_repository_asks_for_consent(hub: FakeHub) -> None:
    """All may see what it holds, as on the Hub, and nobody has it without consent."""
    hub.repositories["some/wavlm"] = Repository(gated=True)
    hub.repositories["some/wavlm"].commit(WAVLM)
    with pytest.raises(CheckpointError, match="some/wavlm: requires consent: accept its terms"):
        api.load_encoder("some/wavlm", download=True)


BAD_REPOSITORIES: dict[str, tuple[dict[str, bytes], str]] = {
    "no weights": ({"README.md": b"x"}, r"contains no weights timbral reads \(README\.md\)"),
    "nothing": ({}, "it is empty"),
    "several files of weights": (
        {"a.pt": b"", "b.pth": b""},
        r"several weight files \(a\.pt, b\.pth\); download the file",
    ),
    "a pickle that runs something": (
        {"model.pt": b"cbuiltins\nprint\n(S'x'\ntR."},
        "asks for builtins.print; only tensors and plain values",
    ),
    "a damaged checkpoint": (
        {"checkpoint.json": b"{", "model.safetensors": b""},
        "checkpoint.json: is not readable JSON",
    ),
    "other weights than its checkpoint says": (
        {"checkpoint.json": b"OF A RUN", "model.safetensors": b"0"},
        "its SHA-256 is",
    ),
}


@pytest.mark.parametrize("case", BAD_REPOSITORIES)
def test_bad_repositories_are_one_line(case: str, hub: FakeHub, run: Path) -> None:
    files, message = BAD_REPOSITORIES[case]
    if files.get("checkpoint.json") == b"OF A RUN":
        folder = api.resolve(run).folder
        files = {**files, "checkpoint.json": (folder / "checkpoint.json").read_bytes()}
    hub.repositories["some/bad"] = Repository()
    hub.repositories["some/bad"].commit(files)
    with pytest.raises(CheckpointError, match=message) as raised:
        api.load_encoder("some/bad", download=True)
    assert str(raised.value).startswith("some/bad: ")
    assert "/snapshots/" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_not_there_or_not_allowed(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["some/wavlm"] = Repository()
    hub.repositories["some/wavlm"].commit(WAVLM)
    hub.repositories["other/private"] = Repository(private=True)
    with pytest.raises(CheckpointError, match="has no such repository, or you may not read it"):
        api.download("some/nothing")
    with pytest.raises(CheckpointError, match="no revision 'v9'; give a branch, a tag or a com"):
        api.download("some/wavlm@v9")
    with pytest.raises(ConfigError, match="weights_dir needs the name of published weights"):
        api.download("some/wavlm", GOLDEN)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(CheckpointError, match="hf auth login"):
        api.download("other/private")


def test_push_and_load(embedder: Embedder, hub: FakeHub, voices: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    pushed = embedder.push_to_hub("me/small", private=True, license="CC-BY-4.0")
    repository = hub.repositories["me/small"]
    [commit] = [sha for sha in repository.commits if sha == repository.revisions["main"]]
    assert pushed == f"me/small@{commit}"
    assert repository.private
    files = repository.commits[commit]
    assert files.keys() == {".gitattributes", "README.md", "checkpoint.json", "model.safetensors"}
    assert hub.large.keys() == {api.load_encoder(embedder.save(tmp_path / "s")).weights_sha256}
    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "timbral")

    loaded = api.load_encoder(pushed, download=True)
    assert (loaded.name, loaded.license) == (pushed, "CC-BY-4.0")
    assert loaded.threshold == embedder.threshold
    assert loaded.training_data == embedder.training_data
    assert loaded.preprocessing == embedder.preprocessing
    paths = sorted(voices.glob("*/*.ogg"))[:3]
    np.testing.assert_array_equal(loaded.encode(paths), embedder.encode(paths))
    assert loaded.push_to_hub("me/small", revision="dev").startswith("me/small@")
    assert repository.revisions.keys() == {"main", "dev"}
    assert repository.revisions["main"] == commit, "only the branch was written"


def test_push_refused(
    embedder: Embedder, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("small", "me/x/y", "me/a..b", "me/ü"):
        with pytest.raises(ConfigError, match="Hugging Face Hub: USER/REPO"):
            embedder.push_to_hub(name)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(CheckpointError, match="does not let you write there"):
        embedder.push_to_hub("me/small")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="was not written by `timbral export`"):
        embedder.push_to_hub("me/small", exported=tmp_path / "x.onnx")
    assert "me/small" not in hub.repositories


def test_command_line(ask: Ask, hub: FakeHub, run: Path, voices: Path) -> None:
    """Push a run, then verify by its name where it has never been."""
    pushed = ask("push", run, "me/small", "--license", "mit")
    assert (pushed.code, pushed.err.count("error")) == (0, 0), pushed.err
    name = pushed.out.strip()
    assert name.startswith("me/small@")
    first, second = sorted(voices.glob("*/*.ogg"))[:2]
    verified = ask("verify", "me/small", first, second, "--json")
    assert verified.code == 0, verified.err
    assert f"is pinned to the commit {name.partition('@')[2]}" in verified.err
    expected = api.load_encoder(run).verify(first, second).score
    assert json.loads(verified.out)["score"] == pytest.approx(expected, abs=1e-6)
    again = ask("verify", "me/small", first, second, "--json")
    assert again.out == verified.out
    assert "downloading" not in again.err
    refused = ask("push", run, "small")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
