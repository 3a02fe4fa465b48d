"""The verb models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timbral.cli.common_options import OK

if TYPE_CHECKING:
    from timbral.api import ModelInfo

__all__ = ["run"]


def run() -> int:
    """List architectures, published weights and readable formats.

    Also lists the projects whose weights `convert` reads, with their licenses.

    example: timbral models
    """
    from timbral import api
    from timbral.installation import install_command, is_installed

    rows = api.models()
    print("Architectures, to train")
    for row in rows:
        if not row.license:
            print(_size(row))
    print("Published weights")
    for row in rows:
        if row.license:
            print(_size(row))
            needs = f" (needs timbral[{row.extra}])" if row.extra else ""
            state = "; downloaded" if row.downloaded else f"; timbral download {row.name}{needs}"
            state = "" if row.is_shipped else state
            print(f"  {'':<19}{row.source}, {row.license}{state}")
    others = {one.format: one for row in rows for one in row.weights_of_others}
    print("Weights of other projects, by the FORMAT of `timbral convert --from FORMAT`")
    for name, one in sorted(others.items()):
        license = one.license or "not stated"
        print(f"  {name:<24}{', '.join(one.architectures)}; {one.publisher}, license {license}")
    for extra in dict.fromkeys(row.extra for row in rows if row.extra and not row.downloaded):
        if not is_installed(extra):
            print(f"timbral[{extra}] is not installed: {install_command(extra)}")
    return OK


def _size(row: ModelInfo) -> str:
    size = f"E {row.embedding_dim}  {row.parameters / 1e6:5.1f} M  {row.sample_rate // 1000} kHz"
    return f"  {row.name:<19}{size}  {row.description}"
