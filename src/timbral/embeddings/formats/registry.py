"""Output formats of vectors by name. A new one is a file here and a line in `FORMATS`."""

from __future__ import annotations

from timbral.embeddings.formats.coqui import COQUI
from timbral.embeddings.formats.cosyvoice import COSYVOICE
from timbral.embeddings.formats.kaldi import KALDI
from timbral.embeddings.formats.npy import NPY
from timbral.embeddings.formats.parquet import PARQUET
from timbral.embeddings.formats.rtvc import RTVC
from timbral.embeddings.formats.safetensors import SAFETENSORS
from timbral.embeddings.formats.torch import TORCH
from timbral.embeddings.formats.vector_format import VectorFormat

__all__ = ["FORMATS"]

FORMATS: dict[str, VectorFormat] = {
    "parquet": PARQUET,
    "npy": NPY,
    "torch": TORCH,
    "safetensors": SAFETENSORS,
    "kaldi": KALDI,
    "cosyvoice": COSYVOICE,
    "coqui": COQUI,
    "rtvc": RTVC,
}
