"""Unexpected errors: one line on the terminal, the traceback in a file."""

from __future__ import annotations

import os
import platform
import tempfile
import time
import traceback
from pathlib import Path

from timbral.errors import DataError
from timbral.io.cache import cache_folder
from timbral.version import __version__

__all__ = ["describe_crash"]


def describe_crash(error: Exception, verb: str) -> str:
    """One line about an unexpected error, which says where its traceback was written.

    The command's arguments are not written: they may contain a key.
    """
    heading = f"timbral {__version__}, Python {platform.python_version()}, timbral {verb}\n"
    log = _write_log(heading + "".join(traceback.format_exception(error)))
    what = " ".join(traceback.format_exception_only(error)[-1].split())
    where = "" if log is None else f" with the traceback in {log}"
    return f"unexpected {what[:300]}; this is a bug in timbral, please report it{where}"


def _write_log(text: str) -> Path | None:
    """Write to the working folder, else to the cache, else to the system's temporary folder.

    Returns the file; None if none of them can be written to.
    """
    name = f"timbral-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    for folder in (Path, cache_folder, lambda: Path(tempfile.gettempdir())):
        try:
            path = folder() / name
            path.write_text(text, "utf-8")
        except (OSError, DataError):  # it cannot be written to, or does not exist
            continue
        return path
    return None
