"""The corpora that timbral knows. A new one is a file with its scan, and a line in `CORPORA`."""

from __future__ import annotations

from timbral.data.corpora.aidatatang import AIDATATANG
from timbral.data.corpora.aishell3 import AISHELL3
from timbral.data.corpora.cnceleb import CNCELEB1, CNCELEB2
from timbral.data.corpora.commonvoice import COMMON_VOICE
from timbral.data.corpora.corpus import Corpus
from timbral.data.corpora.folders import FOLDER, TREE
from timbral.data.corpora.hugging_face import HUGGING_FACE
from timbral.data.corpora.librispeech import LIBRISPEECH, LIBRISPEECH_OTHER, LIBRITTS
from timbral.data.corpora.magicdata import MAGICDATA
from timbral.data.corpora.user_layouts import user_layout
from timbral.data.corpora.vctk import VCTK
from timbral.data.corpora.voxceleb import VOXCELEB1, VOXCELEB2
from timbral.data.corpora.webdataset import WEBDATASET
from timbral.data.lists.lhotse_cuts import LHOTSE_CUTS, LHOTSE_SHAR
from timbral.data.lists.lhotse_recipes import PREFIX, recipe_layout
from timbral.data.lists.registry import LIST_FORMATS
from timbral.errors import DataError, did_you_mean
from timbral.io.user_code import is_user_source

__all__ = ["CORPORA", "LAYOUTS", "find_layout"]

CORPORA: dict[str, Corpus] = {
    "folder": FOLDER,
    "tree": TREE,
    "librispeech_other": LIBRISPEECH_OTHER,
    "voxceleb1": VOXCELEB1,
    "voxceleb2": VOXCELEB2,
    "aidatatang_200zh": AIDATATANG,
    "magicdata": MAGICDATA,
    "librispeech": LIBRISPEECH,
    "libritts": LIBRITTS,
    "vctk": VCTK,
    "aishell3": AISHELL3,
    "cnceleb1": CNCELEB1,
    "cnceleb2": CNCELEB2,
    "commonvoice": COMMON_VOICE,
}
LAYOUTS: dict[str, Corpus] = {
    **CORPORA,
    **{name: format.layout for name, format in LIST_FORMATS.items() if format.layout},
    "datasets": HUGGING_FACE,
    "webdataset": WEBDATASET,
    "lhotse-shar": LHOTSE_SHAR,
    "lhotse-cuts": LHOTSE_CUTS,
}
"""all layouts: of corpora, of folders of list formats, and of other tools' files"""


def find_layout(name: str) -> Corpus:
    """A layout by its name, one of the user's own as ``path.py:NAME``, or ``lhotse:RECIPE``."""
    if is_user_source(name):
        return user_layout(name)
    if name.startswith(PREFIX):
        return recipe_layout(name)
    if name not in LAYOUTS:
        raise DataError(f"unknown layout {name!r}{did_you_mean(name, LAYOUTS)}")
    return LAYOUTS[name]
