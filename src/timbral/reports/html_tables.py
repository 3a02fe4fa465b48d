"""HTML tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_rows", "html_table"]


def html_table(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    """A table of texts, which are escaped; an empty `head` adds no header."""
    header = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>" if head else ""
    body = html_rows([tuple(map(escape, row)) for row in rows])
    return body.replace("<table>", f"<table>{header}", 1)


def html_rows(rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are HTML already."""
    lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
