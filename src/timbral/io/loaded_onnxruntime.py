"""onnxruntime, which tells nobody that it runs."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["import_onnxruntime"]

NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"


def import_onnxruntime() -> Any:
    """The module, asked to send nothing.

    Since 1.29 its official builds for Linux and macOS send what models are run, and on what, to
    Microsoft, and keep an identifier of the device in the user's cache folder, unless the
    environment says otherwise before it starts. Whoever has set the variable is obeyed; a program
    that has run onnxruntime before timbral has to set it by itself.

    Raises ImportError where it is not installed.
    """
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    return onnxruntime
