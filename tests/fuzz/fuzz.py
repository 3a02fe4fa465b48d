"""Fuzz timbral's readers: changed files may be read or refused with a TimbralError, nothing else.

    python tests/fuzz/fuzz.py --cases 200              every target, in a process of its own each
    python tests/fuzz/fuzz.py --only trials --seed 7   one target, other cases

Prints a line a target with the numbers of cases, of those read and refused, and of tracebacks, and
the traceback of each kind once, with the seed that repeats it. Ends with 1 if there was any.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

MEMORY = 12 << 30
"""bytes of address space; a reader that asks for more gets a MemoryError, which is a traceback"""
SLOW_SECONDS = 10
"""a case that takes more processor time counts as a traceback"""


@dataclass
class Counts:
    """Results of the cases of one target."""

    read: int = 0
    refused: int = 0
    tracebacks: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        cases = self.read + self.refused + self.tracebacks.total()
        return (
            f"{cases} cases: {self.read} read, {self.refused} refused, "
            f"{self.tracebacks.total()} tracebacks"
        )


def fuzz(name: str, seed: int, cases: int) -> Counts:
    """Run the cases of one target; the same seed gives the same ones."""
    from mutate import MUTATIONS
    from targets import TARGETS

    from timbral.errors import TimbralError

    target, counts = TARGETS[name], Counts()
    with tempfile.TemporaryDirectory(prefix="timbral-fuzz-") as temporary:
        folder = Path(temporary)
        target.make(folder)
        path = folder / target.changed
        whole = path.read_bytes()
        target.read(folder)  # as it is, it can be read
        for case in range(cases):
            draw = random.Random(f"{name} {seed} {case}")
            path.write_bytes(MUTATIONS[target.mutation](draw, whole))
            started = time.process_time()
            try:
                target.read(folder)
                counts.read += 1
            except TimbralError as error:
                str(error)
                counts.refused += 1
            except (Exception, RecursionError) as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                kind = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
                counts.tracebacks[kind] += 1
                counts.examples.setdefault(kind, f"case {case}\n{traceback.format_exc(limit=-6)}")
            if (seconds := time.process_time() - started) > SLOW_SECONDS:
                counts.tracebacks[f"case {case} took {seconds:.0f} s"] += 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz timbral's readers of files")
    parser.add_argument("--cases", type=int, default=200, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="targets; default all")
    parser.add_argument("--own-code", action="store_true", help="leave out readers in C++")
    parser.add_argument("--here", action="store_true", help="all in this process")
    options = parser.parse_args()
    from targets import TARGETS

    names = options.only or [
        name for name, target in TARGETS.items() if target.is_ours or not options.own_code
    ]
    if not options.here:
        return run_in_processes(names, options.seed, options.cases)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    total = 0
    for name in names:
        started = time.monotonic()
        counts = fuzz(name, options.seed, options.cases)
        print(f"{name}: {counts} ({time.monotonic() - started:.1f} s)", flush=True)
        for kind, times in counts.tracebacks.items():
            print(f"  {times} x {kind}, {counts.examples.get(kind, '')}", flush=True)
        total += counts.tracebacks.total()
    return 1 if total else 0


def run_in_processes(names: list[str], seed: int, cases: int) -> int:
    """A process for each target, so that one that crashes a library does not end the others."""
    failed = []
    for name in names:
        command = [sys.executable, __file__, "--here", "--only", name]
        numbers = ["--seed", str(seed), "--cases", str(cases)]
        result = subprocess.run([*command, *numbers], env=os.environ, check=False)
        if result.returncode < 0:
            died = signal.Signals(-result.returncode).name
            print(f"{name}: died of {died}, seed {seed}: a library crashed", flush=True)
        if result.returncode:
            failed.append(name)
    print(f"with tracebacks or crashes: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
