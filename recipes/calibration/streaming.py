"""How much speech a streaming verdict needs, against decisions after a fixed length.

    python recipes/calibration/streaming.py ENCODER CORPORA

The speakers are those that calibrations are tested on (see recordings.py). A speaker is enrolled
with 8 s of one side; 12 s of the other side, and of another speaker's, come in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from degrade import RATE
from recordings import Speaker, joined, speechocean, with_sessions

from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.inference.streaming import FIRST_LOOK, LOOK_FACTOR, StoppingBounds
from timbral.io.types import Floats

LONGEST = 12.0
LOOKS = FIRST_LOOK * LOOK_FACTOR ** np.arange(np.log(LONGEST) / np.log(LOOK_FACTOR))
"""seconds of audio, pauses included"""
RATES = (0.05, 0.02)


def paths(embedder: Embedder, pairs: list[tuple[Speaker, Speaker]], seed: int) -> Floats:
    """The llr at each look (pairs, looks); sides of a pair are the first's a and the second's b."""
    assert embedder.calibration is not None
    rows = []
    for number, (enrolled, comes) in enumerate(pairs):
        generator = np.random.default_rng([seed, number])
        known = embedder._measured_voice(
            joined(enrolled.material(0), 8.0, generator), "enrolled", RATE
        )
        wave = joined(comes.material(1), LONGEST, generator)
        row = []
        for seconds in LOOKS:
            vector, conditions = embedder._measured_voice(
                wave[: round(seconds * RATE)], "samples", RATE
            )
            score = embedder.calibration.scores(known[0], vector)
            row.append(float(embedder.calibration.unlimited_llr(score, known[1], conditions)[0]))
        rows.append(row)
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder")
    parser.add_argument("corpora", type=Path)
    options = parser.parse_args()
    embedder = load_encoder(options.encoder, device="cpu")
    _, dev = speechocean(options.corpora / "speechocean762-train")
    sessions = with_sessions("librispeech", options.corpora / "LibriSpeech")
    sessions += with_sessions("libritts", options.corpora / "LibriTTS")
    groups = [dev, sessions, with_sessions("vctk", options.corpora / "VCTK")]
    generator = np.random.default_rng(0)
    same = [(speaker, speaker) for group in groups for speaker in group] * 3
    different = []
    for group in groups:
        for speaker in group * 3:
            others = [x for x in group if x.gender == speaker.gender and x.name != speaker.name]
            different.append((speaker, others[int(generator.integers(len(others)))]))
    targets = paths(embedder, same, seed=1)
    nontargets = paths(embedder, different, seed=2)
    for rate in RATES:
        report(embedder, targets, nontargets, rate)


def report(embedder: Embedder, targets: Floats, nontargets: Floats, rate: float) -> None:
    """Print errors and lengths of the sequential test, and of fixed lengths."""
    bounds = StoppingBounds.of(embedder.calibration, rate, max(rate, 0.1))
    ends = []
    for llrs in (targets, nontargets):
        out = (llrs >= bounds.accept_llr) | (llrs <= bounds.reject_llr)
        stops = np.where(out.any(axis=1), out.argmax(axis=1), len(LOOKS) - 1)
        ends.append((LOOKS[stops], llrs[np.arange(len(llrs)), stops], out.any(axis=1)))
    (length, last, decided), (length_others, last_others, decided_others) = ends
    rejects = float((decided & (last < 0)).mean())
    accepts = float((decided_others & (last_others > 0)).mean())
    print(
        f"promised {100 * rate:g} % false accepts: {100 * accepts:.1f} % false accepts, "
        f"{100 * rejects:.1f} % false rejects, undecided after {LONGEST:g} s: "
        f"{100 * (1 - decided.mean()):.1f} % and {100 * (1 - decided_others.mean()):.1f} %; "
        f"median {np.median(length):.2f} s for the same speaker, {np.median(length_others):.2f} s "
        "for another"
    )
    for seconds, of_targets, of_nontargets in zip(LOOKS, targets.T, nontargets.T, strict=True):
        threshold = np.quantile(of_nontargets, 1 - accepts)
        print(f"  after {seconds:.2f} s: {100 * (of_targets <= threshold).mean():.1f} % rejects")


if __name__ == "__main__":
    main()
