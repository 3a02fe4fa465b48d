"""How what is missing is installed where timbral is: a command that works as it is printed.

The packages of an extra are named themselves: ``timbral[vad]`` would be looked for in the index,
which need not have the timbral that runs here (a checkout, a wheel, a repository).
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

__all__ = ["install_command", "is_installed", "packages_of"]

EXTRA = re.compile(r"""extra\s*==\s*['"](?P<name>[\w.-]+)['"]""")
CHECKOUT = Path(__file__).parents[2]
"""the repository, if timbral is run from its sources"""


def install_command(extra: str) -> str:
    """The command that installs an extra into this environment."""
    from importlib.util import find_spec  # these two take longer than all of errors.py

    packages = packages_of(extra)
    if not packages:  # run from its sources, without being installed
        where = shlex.quote(f"{CHECKOUT}[{extra}]")
        return f"{shlex.quote(sys.executable)} -m pip install -e {where}"
    words = " ".join(shlex.quote(package) for package in packages)
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").exists():
        return f"pipx inject {shlex.quote(prefix.name)} {words}"
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:  # as in environments of uv
        return f"uv pip install --python {python} {words}"
    return f"{python} -m pip install {words}"


def is_installed(extra: str) -> bool:
    """Whether all packages that an extra asks for are there, in whatever version.

    True, too, where it cannot be told: timbral is run from its sources, without being installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        for package in packages_of(extra):
            version(re.split(r"[^\w.-]", package, maxsplit=1)[0])
    except PackageNotFoundError:
        return False
    return True


def packages_of(extra: str) -> list[str]:
    """What an extra asks for, as the installed timbral says; empty where it is not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires("timbral") or []
    except PackageNotFoundError:
        return []
    found = []
    for requirement in requirements:
        package, _, condition = requirement.partition(";")
        match = EXTRA.search(condition)
        if match is not None and match["name"] == extra:
            found.append(package.strip())
    return found
