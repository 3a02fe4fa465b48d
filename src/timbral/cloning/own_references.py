"""Notes on clones that are their own references, or copies, which measure no system."""

from __future__ import annotations

from collections.abc import Sequence

from timbral.cloning.encoder_view import EncoderView

__all__ = ["own_reference_notes"]

NAMED = 8
"""clones that a note names; clones.csv marks all"""


def own_reference_notes(views: Sequence[EncoderView]) -> list[str]:
    """A note for each system with clones that are their own references, or copies of them."""
    found: dict[str, dict[tuple[str, str], bool]] = {}
    for view in views:
        for clone, is_own in zip(view.clones, view.own_reference.tolist(), strict=True):
            found.setdefault(clone.system, {})[clone.name, clone.synthesized] = is_own
    return [_note(system, clones) for system, clones in found.items() if any(clones.values())]


def _note(system: str, clones: dict[tuple[str, str], bool]) -> str:
    names = [name for (name, _), is_own in clones.items() if is_own]
    more = f" and {len(names) - NAMED:,} more, marked in clones.csv" if len(names) > NAMED else ""
    return (
        f"{system}: {len(names):,} of {len(clones):,} pairs compare a recording with itself or "
        f"a copy of it, which raises the mean and measures no system: "
        f"{', '.join(names[:NAMED])}{more}"
    )
