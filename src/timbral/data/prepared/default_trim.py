"""The trim that a corpus usually gets."""

from __future__ import annotations

from collections.abc import Sequence

from timbral.data.corpora.registry import CORPORA
from timbral.data.manifest import Manifest, Utterance
from timbral.errors import ConfigError

__all__ = ["default_trim"]


def default_trim(utterances: Sequence[Utterance] | Manifest) -> str:
    """The trim that the corpora of these utterances usually get: the rule of their `CORPORA` entry.

    It follows from the utterances' corpora alone, however these were found; unknown corpora get
    ``none``. Raises ConfigError when the corpora have different rules.
    """
    manifest = utterances if isinstance(utterances, Manifest) else Manifest.of(utterances)
    rules: dict[str, list[str]] = {}
    for corpus in sorted(manifest.table["corpus"].unique().to_pylist()):
        trim = CORPORA[corpus].trim if corpus in CORPORA else "none"
        rules.setdefault(trim, []).append(corpus)
    if len(rules) > 1:
        usual = "; ".join(f"{', '.join(names)}: {trim}" for trim, names in sorted(rules.items()))
        raise ConfigError(
            f"these corpora are usually trimmed in different ways ({usual}); choose one trim for "
            "all"
        )
    return next(iter(rules), "none")
