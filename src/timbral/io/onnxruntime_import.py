"""Import onnxruntime without its telemetry."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["import_onnxruntime"]

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> Any:
    """Import onnxruntime, with its telemetry switched off.

    Since 1.29 its official builds for Linux and macOS report models and hardware to Microsoft, and
    store an identifier of the device in the user's cache folder, unless an environment variable
    forbids it before the start. A value that the user has set is kept; a program that has used
    onnxruntime before timbral must set it itself.

    Raises ImportError if it is not installed.
    """
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    return onnxruntime
