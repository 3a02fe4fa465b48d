"""What ``timbral --help`` prints."""

from __future__ import annotations

from timbral.cli.verb_table import STAGES, VERBS

__all__ = ["HELP"]

_WIDTH = max(len(name) for name in [*VERBS, "-V, --version"] if len(name) < 16)
"""width of the column of names; the few longer names extend beyond it"""


def _stages() -> str:
    blocks = []
    for stage, verbs in STAGES.items():
        lines = [f"  {name:{_WIDTH}}  {summary.rstrip('.')}" for name, summary in verbs.items()]
        blocks.append("\n".join([stage, *lines]))
    return "\n\n".join(blocks)


HELP = f"""\
usage: timbral COMMAND …

Train, evaluate and run speaker encoders: a recording in, one vector out.

{_stages()}

Options
  {"-h, --help":{_WIDTH}}  Show this text; `timbral COMMAND --help` for the options
  {"-V, --version":{_WIDTH}}  Show the version

Exit codes: 0 done, 1 some recordings unusable, 2 a mistake, 130/143 interrupted
Completion: source <(timbral --tyro-print-completion bash), or zsh, tcsh
"""
