"""Recipes of Lhotse as layouts: ``lhotse:librispeech`` is what its `prepare_librispeech` finds."""

from __future__ import annotations

import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from timbral.data.corpora.corpus import Corpus
from timbral.data.lists.lhotse_rows import scan_lhotse
from timbral.data.manifest import Utterance
from timbral.errors import AudioError, DataError, MissingExtraError, did_you_mean

__all__ = ["PREFIX", "recipe_layout"]

PREFIX = "lhotse:"
FUNCTION = "prepare_"
OUTPUT = "output_dir"
"""the argument that some recipes need, a folder for manifests"""


def recipe_layout(name: str) -> Corpus:
    """The layout ``lhotse:RECIPE``, of one of the recipes that the installed Lhotse has.

    Raises DataError for an unknown recipe, or one that needs more than the corpus's folder,
    MissingExtraError without Lhotse.
    """
    recipe = name.removeprefix(PREFIX)
    try:
        from lhotse import recipes
    except ImportError:
        raise MissingExtraError(f"the layout {name}", "lhotse") from None
    known = {
        each.removeprefix(FUNCTION): getattr(recipes, each)
        for each in dir(recipes)
        if each.startswith(FUNCTION)
    }
    if recipe not in known:
        raise DataError(f"unknown recipe of Lhotse {recipe!r}{did_you_mean(recipe, sorted(known))}")
    prepare = known[recipe]
    _, *others = inspect.signature(prepare).parameters.values()
    needed = [each.name for each in others if each.default is each.empty and each.name != OUTPUT]
    if needed:
        raise DataError(
            f"the recipe {recipe} of Lhotse needs more than the corpus's folder: "
            f"{', '.join(needed)}; run it in Lhotse, and give the folder of its manifests"
        )
    return Corpus(
        lambda root: _scan(prepare, recipe, root), (f"what lhotse prepare {recipe} reads",)
    )


def _scan(prepare: Callable[..., Any], recipe: str, root: Path) -> Iterator[Utterance | AudioError]:
    """The utterances of all pairs of manifests that a recipe finds."""
    with tempfile.TemporaryDirectory(prefix="timbral-lhotse-") as above:
        folder = Path(above)
        output = inspect.signature(prepare).parameters.get(OUTPUT)
        needs_output = output is not None and output.default is output.empty
        extra = {OUTPUT: folder / "output"} if needs_output else {}
        try:
            with redirect_stdout(sys.stderr), redirect_stderr(StringIO()):
                manifests = prepare(root.absolute(), **extra)
            pairs = list(_pairs(manifests))
            for number, pair in enumerate(pairs):
                (folder / f"{number}").mkdir()
                for kind, content in pair.items():
                    content.to_file(folder / f"{number}" / f"{kind}.jsonl.gz")
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise DataError(f"{root}: Lhotse's recipe {recipe} failed ({reason})") from None
        for number in range(len(pairs)):
            yield from scan_lhotse(folder / f"{number}")


def _pairs(manifests: Any) -> Iterator[Mapping[str, Any]]:
    """The pairs of recordings and supervisions in what a recipe returns, however deep they lie."""
    if not isinstance(manifests, Mapping):
        return
    if "recordings" in manifests and "supervisions" in manifests:
        yield {kind: manifests[kind] for kind in ("recordings", "supervisions")}
        return
    for each in manifests.values():
        yield from _pairs(each)
