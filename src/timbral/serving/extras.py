"""Check that the packages of the service are installed."""

from __future__ import annotations

from importlib.util import find_spec

from timbral.errors import MissingExtraError

__all__ = ["check_installed"]

PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
"""packages of the extra [serve]"""


def check_installed() -> None:
    """Raise MissingExtraError if a package of the extra [serve] is missing."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise MissingExtraError("the service", "serve")
