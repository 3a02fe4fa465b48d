"""timbral: train, evaluate and run speaker encoders.

>>> import timbral
>>> encoder = timbral.load_encoder("runs/lstm")  # doctest: +SKIP
>>> encoder.verify("alice.wav", "bob.wav")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timbral.version import __version__

if TYPE_CHECKING:
    from timbral.audio.preprocessing import Preprocessing
    from timbral.embeddings.similarity import similarity
    from timbral.inference.embedder import Embedder
    from timbral.inference.load import load_encoder

__all__ = ["Embedder", "Preprocessing", "__version__", "load_encoder", "similarity"]

_HOMES = {
    "Embedder": "timbral.inference.embedder",
    "Preprocessing": "timbral.audio.preprocessing",
    "load_encoder": "timbral.inference.load",
    "similarity": "timbral.embeddings.similarity",
}


def __getattr__(name: str) -> Any:  # torch is imported when it is first needed
    if name not in _HOMES:
        raise AttributeError(f"module 'timbral' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
