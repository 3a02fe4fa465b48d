"""Ogg: the streams that are chained in one file (RFC 3533).

libsndfile reads the first of them only.
"""

from __future__ import annotations

__all__ = ["ogg_links"]

PAGE = b"OggS"
PAGE_HEADER = 27
"""bytes, before the table of segments"""
BEGIN = 0x02
"""flag of a page that begins a stream"""


def ogg_links(content: bytes) -> tuple[list[slice], bool]:
    """The byte ranges of a file's chained streams, and whether it ends within a page.

    Parallel streams, such as audio and video, begin together and are one range.
    """
    starts: list[int] = []
    behind_first_pages = breaks_off = False
    position, size = content.find(PAGE), len(content)
    while position >= 0:
        table = position + PAGE_HEADER
        body = table + content[table - 1] if table <= size else size + 1
        end = body + sum(content[table:body])
        if end > size:
            breaks_off = True
            break
        begins = bool(content[position + 5] & BEGIN)
        if not starts or (begins and behind_first_pages):
            starts.append(position)
        behind_first_pages = not begins
        position = end if content.startswith(PAGE, end) else content.find(PAGE, end)
    ends = [*starts[1:], size][: len(starts)]
    return [slice(*ends) for ends in zip(starts, ends, strict=True)], breaks_off
