"""A Hub on this machine: what huggingface_hub's client asks for, to download and to upload."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote

import yaml

TOKEN = "hf_timbralsTestsOnly"
DATASETS = "datasets"
"""before the names of datasets' repositories"""
LARGE_BYTES = 10_000
"""files from this size on go the way of Git LFS"""


@dataclass
class Repository:
    """Commits, the oldest first, each with all its files; and branches and tags."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    """whether its files are given to nobody, as long as its terms are not accepted"""
    license: str = ""
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], revision: str = "main") -> str:
        text = json.dumps([len(self.commits), sorted(files)]).encode()
        sha = hashlib.sha1(text).hexdigest()
        self.commits[sha] = dict(files)
        self.revisions[revision] = sha
        return sha

    def find(self, revision: str) -> str | None:
        sha = self.revisions.get(revision, revision)
        return sha if sha in self.commits else None


@dataclass
class FakeHub:
    """Its repositories, and what it was asked."""

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    """uploaded by Git LFS, by SHA-256"""
    asked: list[str] = field(default_factory=list)

    def environment(self, home: object) -> dict[str, str]:
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_TOKEN": TOKEN,
        }


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._get(with_content=False)

    def do_GET(self) -> None:
        self._get(with_content=True)

    def _get(self, with_content: bool) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"{self.command} {path}")
        words = path.strip("/").split("/")
        if words[:2] == ["api", "whoami-v2"]:
            return self._answer({"type": "user", "name": "me", "orgs": [], "auth": {}})
        if words[:2] == ["api", "models"]:
            return self._about("/".join(words[2:4]), words[4:])
        if words[:2] == ["api", DATASETS]:
            return self._about("/".join(words[1:4]), words[4:])
        owner = 2 if words[0] == DATASETS else 1
        found = self._repository("/".join(words[: owner + 1]))
        asked = words[owner + 1 :]
        sha = found.find(unquote(asked[1])) if found and asked[:1] == ["resolve"] else None
        content = found.commits[sha].get("/".join(asked[2:])) if found and sha else None
        if found and found.gated:
            return self._missing("GatedRepo", status=403)
        if content is None or sha is None:
            return self._missing("EntryNotFound" if found and sha else "RevisionNotFound")
        self._send_file(content, sha, with_content)
        return None

    def _send_file(self, content: bytes, sha: str, with_content: bool) -> None:
        large = len(content) >= LARGE_BYTES
        digest = hashlib.sha256(content) if large else hashlib.sha1(content)
        first, _, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        asked = content[int(first or 0) : int(last) + 1 if last else None]
        self.send_response(206 if first else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(asked)))
        self.send_header("X-Repo-Commit", sha)
        self.send_header("ETag", f'"{digest.hexdigest()}"')
        self.end_headers()
        if with_content:
            self.wfile.write(asked)

    def _about(self, name: str, words: list[str]) -> None:
        found = self._repository(name)
        if found is None:
            return self._missing("RepoNotFound")
        revision = unquote(words[1]) if words[1:] and words[0] != "auth-check" else "main"
        sha = found.find(revision)
        if sha is None:
            return self._missing("RevisionNotFound")
        if words[:1] == ["auth-check"] and found.gated:
            return self._missing("GatedRepo", status=403)
        files = found.commits[sha]
        if words[:1] == ["tree"]:
            above = "".join(f"{word}/" for word in words[2:])
            return self._answer([e for e in _entries(files) if e["path"].startswith(above)])
        siblings = [{"rfilename": path} for path in files]
        card = {"cardData": {"license": found.license}} if found.license else {}
        gated = "manual" if found.gated else False
        return self._answer({"id": name, "sha": sha, "siblings": siblings, "gated": gated, **card})

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append(f"{self.command} {path}")
        body = self._body()
        if "/paths-info/" in path:
            return self._paths_info(path.strip("/").split("/"), body)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._missing("", status=401)
        words = path.strip("/").split("/")
        about_all = {"validate-yaml": self._validate, "repos": self._create}
        if words[1] in about_all:
            return about_all[words[1]](json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        found = self._repository("/".join(words[2:4]))
        if found is None:
            return self._missing("RepoNotFound")
        if words[4] == "preupload":
            asked = json.loads(body)["files"]
            modes = ["lfs" if each["size"] >= LARGE_BYTES else "regular" for each in asked]
            return self._answer(
                {
                    "files": [
                        {"path": each["path"], "uploadMode": mode, "shouldIgnore": False}
                        for each, mode in zip(asked, modes, strict=True)
                    ]
                }
            )
        if words[4] == "commit":
            return self._commit("/".join(words[2:4]), found, words[5], body)
        found.revisions[words[5]] = found.revisions["main"]  # a branch
        return self._answer({})

    def _paths_info(self, words: list[str], body: bytes) -> None:
        found = self._repository("/".join(words[1:4]))
        sha = found.find(unquote(words[5])) if found else None
        if found is None or sha is None:
            return self._missing("RevisionNotFound" if found else "RepoNotFound")
        names = {name.strip("/") for name in parse_qs(body.decode()).get("paths", [])}
        entries = _entries(found.commits[sha])
        return self._answer([entry for entry in entries if entry["path"] in names])

    def do_PUT(self) -> None:
        digest, content = self.path.rpartition("/")[2], self._body()
        if hashlib.sha256(content).hexdigest() != digest:
            return self._missing("", status=400)
        self.hub.large[digest] = content
        return self._answer({})

    def _validate(self, asked: dict[str, str]) -> None:
        self._answer(_what_is_wrong(asked["content"]))

    def _create(self, asked: dict[str, object]) -> None:
        name = f"{asked.get('organization', 'me')}/{asked['name']}"
        if name in self.hub.repositories:
            url = f"{self.hub.endpoint}/{name}"
            return self._answer({"url": url, "error": "You already created this"}, 409)
        found = self.hub.repositories[name] = Repository(
            private=asked.get("visibility") == "private" or bool(asked.get("private"))
        )
        found.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._answer({"url": f"{self.hub.endpoint}/{name}"})

    def _batch(self, asked: dict[str, list[dict[str, object]]]) -> None:
        objects = []
        for each in asked["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.large:
                upload = {"href": f"{self.hub.endpoint}/large/{each['oid']}"}
                answer["actions"] = {"upload": upload}
            objects.append(answer)
        self._answer({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, found: Repository, revision: str, body: bytes) -> None:
        files = dict(found.commits[found.revisions[revision]])
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            match item["key"]:
                case "header":
                    found.messages.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
                case "deletedFile":
                    files.pop(value["path"])
        sha = found.commit(files, revision)
        url = f"{self.hub.endpoint}/{name}/commit/{sha}"
        self._answer({"commitUrl": url, "commitOid": sha, "pullRequestUrl": None})

    def _repository(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        return None if found is not None and found.private and not known else found

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self, code: str, status: int = 404) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _entries(files: dict[str, bytes]) -> list[dict[str, object]]:
    """Files and the folders that they lie in, as the Hub lists a tree."""
    above = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    folders = [
        {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
        for path in sorted(above - {"."})
    ]
    return folders + [
        {"type": "file", "oid": "0" * 40, "size": len(content), "path": path}
        for path, content in files.items()
    ]


def _what_is_wrong(card: str) -> dict[str, list[dict[str, str]]]:
    """As the Hub checks the metadata of a model card."""
    parts = card.split("---\n")
    metadata = yaml.safe_load(parts[1]) if len(parts) > 2 and not parts[0] else {}
    wrong = [] if metadata else ["no metadata"]
    if metadata.get("license") == "other" and "license_name" not in metadata:
        wrong.append("license_name is needed")
    for entry in metadata.get("model-index", []):
        for result in entry["results"]:
            if not all(result[key]["type"] for key in ("task", "dataset")):
                wrong.append("a result needs the types of its task and dataset")
    return {"errors": [{"message": each} for each in wrong], "warnings": []}


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A Hub without repositories, at `endpoint`."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
