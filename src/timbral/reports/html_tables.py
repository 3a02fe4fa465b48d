"""HTML tables and audio players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_player", "html_rows", "html_table"]


def html_table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table of texts, which are escaped; without `head` it has no header."""
    return html_rows([tuple(map(escape, row)) for row in rows], head)


def html_rows(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """Like `html_table`, but the cells of `rows` are HTML already."""
    header = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{header}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def html_player(name: str, clip: str) -> str:
    """A recording's name, followed by its clip (base64 MP3; empty: none) as a player."""
    source = f"data:audio/mpeg;base64,{clip}"
    audio = f'<audio controls preload="none" src="{source}"></audio>' if clip else ""
    return f"{escape(name)}{audio}"
