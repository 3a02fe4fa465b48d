"""Parse untrusted JSON: any damage raises ValueError."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse_json"]


def parse_json(content: str | bytes) -> Any:
    """Parse one JSON document; ValueError if it is damaged, not UTF-8, or nested too deeply."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
