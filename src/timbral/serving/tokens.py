"""Access control by bearer tokens (RFC 6750)."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from timbral.errors import ConfigError

__all__ = ["TOKENS_VARIABLE", "Tokens", "is_loopback", "read_tokens"]

TOKENS_VARIABLE = "TIMBRAL_TOKENS"
MIN_LENGTH = 16
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Tokens:
    """The accepted tokens, of which only hashes are kept."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def find(self, authorization: bytes) -> int | None:
        """The number of the token in the header ``Authorization``; None if it is none of them.

        The time does not depend on the tokens: all of them are compared, as hashes.
        """
        scheme, _, given = authorization.strip().partition(b" ")
        digest = hashlib.sha256(given.strip()).digest()
        match = None
        for row, known in enumerate(self._digests):
            if hmac.compare_digest(known, digest):
                match = row
        return match if scheme.lower() == b"bearer" else None


def read_tokens(file: Path | None, environment: Mapping[str, str] = os.environ) -> Tokens:
    """Tokens from a file (one per line, # for comments), else from the variable TIMBRAL_TOKENS.

    Raises ConfigError for a file that cannot be read or that others may read, and for a token that
    is too short to be safe or has characters that are not allowed.
    """
    if file is None:
        words, source = environment.get(TOKENS_VARIABLE, "").split(), TOKENS_VARIABLE
    else:
        words, source = _read_file(file), str(file)
    for word in words:
        if len(word) < MIN_LENGTH:
            raise ConfigError(
                f"{source}: a token needs at least {MIN_LENGTH} characters, so that it cannot be "
                f"guessed; one has {len(word)}"
            )
        if not TOKEN.fullmatch(word):
            raise ConfigError(
                f"{source}: a token may contain letters, digits and - . _ ~ + /, and = only at "
                "its end; one contains something else"
            )
    return Tokens(words)


def _read_file(file: Path) -> list[str]:
    try:
        mode = file.stat().st_mode
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{file}: tokens cannot be read ({reason})") from None
    if mode & 0o077:
        raise ConfigError(
            f"{file}: other users may read these tokens; allow only yourself: chmod 600 {file}"
        )
    stripped = [line.strip() for line in lines]
    words = [line for line in stripped if line and not line.startswith("#")]
    if not words:
        raise ConfigError(f"{file}: contains no token; write one per line")
    return words


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
