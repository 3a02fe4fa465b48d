"""Jobs that end before they write a file, as if they were killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from timbral.io.storage import Folder


@contextmanager
def interrupted_after(
    writes: int, monkeypatch: pytest.MonkeyPatch, suffix: str = ""
) -> Iterator[None]:
    """Expect KeyboardInterrupt, raised instead of the write of a `Folder` after so many.

    Only writes of files with this suffix count.
    """
    write = Folder.write
    left = writes

    def stop(self: Folder, name: str, content: bytes) -> None:
        nonlocal left
        left -= name.endswith(suffix)
        if left < 0:
            raise KeyboardInterrupt
        write(self, name, content)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Folder, "write", stop)
        yield
