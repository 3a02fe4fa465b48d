"""Layouts of users' own corpora, from ``path.py:NAME``: a scan, or a `Corpus`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from timbral.data.corpora.corpus import Corpus
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, ConfigError
from timbral.io.user_code import user_object

__all__ = ["user_layout"]


def user_layout(source: str) -> Corpus:
    """The layout of ``path.py:NAME``: a function from a folder to its utterances, or a `Corpus`.

    The file is run. Raises ConfigError for a file that cannot be run, and any other object.
    """
    value = user_object(source, "a layout")
    if isinstance(value, Corpus):
        return Corpus(_checked(value.scan, source), value.expected, trim=value.trim)
    if not callable(value) or isinstance(value, type):
        raise ConfigError(
            f"{source}: a layout is a Corpus, or a function that takes a folder and returns its "
            "utterances (timbral.data.manifest.Utterance)"
        )
    return Corpus(_checked(value, source), (f"what {source} looks for",))


def _checked(scan: Callable[[Path], object], source: str) -> Callable[[Path], Iterator[Utterance]]:
    """The scan, with errors turned into ConfigErrors that name it."""

    def checked(root: Path) -> Iterator[Utterance]:
        try:
            for item in scan(root):  # type: ignore[attr-defined]
                if not isinstance(item, Utterance | AudioError):
                    raise TypeError(f"it returned a {type(item).__name__} instead of an Utterance")
                yield item  # type: ignore[misc]
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{source} failed on {root} ({reason})") from None

    return checked
