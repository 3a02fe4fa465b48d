"""The verb corpora."""

from __future__ import annotations

from timbral.cli.common_options import OK

__all__ = ["run"]


def run() -> int:
    """List known corpora: size, license, page, layout on disk.

    example: timbral corpora
    """
    from timbral.data.corpora.registry import CORPORA

    for name, corpus in CORPORA.items():
        if not corpus.folder:
            continue
        print(f"{name:18} {corpus.size}; {corpus.license}")
        print(f"{'':18} {corpus.page}")
        for line in corpus.expected:
            path = line.removeprefix("or ")
            alternative = "or " if path != line else ""
            print(f"{'':18} {alternative}{corpus.folder}/{path}")
    return OK
