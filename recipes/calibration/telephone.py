"""Encoders on whole recordings, and over a telephone: cosines, mean subtraction and AS-norm.

    python recipes/calibration/telephone.py CORPORA LISTS OUTPUT ENCODER [ENCODER …]

LISTS is the folder that recipes/accuracy/prepare.py wrote. Every recording of its lists, and of a
cohort, is embedded as it is and after G.711 at 8 kHz (`degrade.telephone`). The cohort has the
speakers that recordings.py fits on, over the same line as the list: four recordings of each speaker
of speechocean762, and the one excerpt of each of LibriSpeech; for AS-norm, the mean of each
speaker. Prints EER with 95 % intervals over speakers (none if there is no error), minDCF at 0.01
and 0.05, and min Cllr; for cosines also the Cllr of the encoder's own calibration, if it has one.
OUTPUT keeps recordings and vectors.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf
from degrade import RATE, load, telephone
from normalization import write_cohorts
from recordings import Speaker, librispeech_excerpts, speechocean, with_sessions

import timbral
from timbral.bulk.embed_list import embed_recordings
from timbral.inference.embedder import Embedder
from timbral.inference.load import load_encoder
from timbral.scoring.figures import Figures
from timbral.scoring.list_speakers import write_speakers
from timbral.scoring.trial_list import Trial
from timbral.scoring.trials import read_trials, write_trials

LISTS = ("dev", "sessions")
OF_COHORT = 4
TOP_K = 100


def speakers_of(corpora: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The speaker of each recording that is tested, and of each of the cohort."""
    ocean, dev = speechocean(corpora / "speechocean762-train")
    sessions = with_sessions("librispeech", corpora / "LibriSpeech")
    sessions += with_sessions("libritts", corpora / "LibriTTS")
    excerpts = librispeech_excerpts(corpora / "librispeech-251", {each.name for each in sessions})

    def named(speakers: list[Speaker], corpus: str, most: int | None = None) -> dict[str, str]:
        return {
            str(path): f"{corpus}-{each.name}"
            for each in speakers
            for path in sorted({path for side in each.sides for path in side})[:most]
        }

    return (
        named(dev, "speechocean762") | named(sessions, "librivox"),
        named(ocean, "speechocean762", OF_COHORT) | named(excerpts, "librivox", OF_COHORT),
    )


def lines(
    lists: Path, corpora: Path, output: Path
) -> dict[str, tuple[dict[str, list[Trial]], dict[str, str], dict[str, str]]]:
    """For each line: its lists, the speakers of their recordings, and those of the cohort."""
    tested, cohort = speakers_of(corpora)
    trials = {name: read_trials(lists / f"trials-{name}.txt") for name in LISTS}
    used = {path for rows in trials.values() for row in rows for path in (row.first, row.second)}
    tested = {path: tested[path] for path in used}
    through = {path: by_telephone(path, output / "telephone") for path in (*tested, *cohort)}
    moved = {
        name: [Trial(row.label, through[row.first], through[row.second]) for row in rows]
        for name, rows in trials.items()
    }
    return {
        "": (trials, tested, cohort),
        "-telephone": (
            moved,
            {through[path]: speaker for path, speaker in tested.items()},
            {through[path]: speaker for path, speaker in cohort.items()},
        ),
    }


def by_telephone(path: str, folder: Path) -> str:
    written = folder / Path(path.strip("/").replace("/", "_")).with_suffix(".flac")
    if not written.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(written, np.clip(telephone(load(path), "mu-law"), -1, 1), RATE)
    return str(written)


def cell(figures: Figures) -> str:
    of_eer, of_cllr = figures.eer_interval, figures.min_cllr_interval
    eer = "" if of_eer is None else f" ({100 * of_eer.low:.1f}–{100 * of_eer.high:.1f})"
    cllr = "" if of_cllr is None else f" ({of_cllr.low:.2f}–{of_cllr.high:.2f})"
    costs = ", ".join(f"{figures.min_dcf[prior]:.2f}" for prior in (0.01, 0.05))
    return f"{100 * figures.eer:.1f}{eer} / {costs} / {figures.min_cllr:.2f}{cllr}"


def row(encoder: Embedder, vectors: Path, trials: Path, cohorts: dict[str, Path]) -> str:
    """A row of the table: cosines, mean and AS-norm, and the Cllr of the encoder's calibration."""
    score = partial(timbral.score, vectors, trials, root="/", speakers=f"{trials}.utt2spk")
    cells = [f"{encoder.name}, {trials.stem}"]
    plain = score(calibration=encoder.calibration).figures
    assert plain is not None
    cells.append(cell(plain))
    for norm in ("mean", "as-norm"):
        normalized = score(norm=norm, cohort=cohorts[norm], top_k=TOP_K).figures
        assert normalized is not None
        cells.append(cell(normalized))
    if plain.calibrated is not None and plain.calibrated.cllr_interval is not None:
        of, least = plain.calibrated.cllr_interval, plain.calibrated.min_cllr
        said = f"{plain.calibrated.cllr:.2f} ({of.low:.2f}–{of.high:.2f}), least {least:.2f}"
        cells.append(f"{said}, outside {plain.calibrated.num_outside}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("lists", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("encoders", nargs="+")
    options = parser.parse_args()
    output = options.output.resolve()
    of_lines = lines(options.lists, options.corpora.resolve(), output)
    for name in options.encoders:
        encoder = load_encoder(name, device="cpu")
        for line, (lists, tested, cohort) in of_lines.items():
            folder = output / f"{encoder.name}-{encoder.weights_sha256[:8]}{line}"
            embed_recordings(encoder, [*tested, *cohort], "/", folder)
            fit = output / f"cohort{line}"
            fit.mkdir(parents=True, exist_ok=True)
            write_speakers(fit / "fit.txt", cohort.items())
            with tempfile.TemporaryDirectory() as temporary:
                cohorts = write_cohorts(fit, folder, Path(temporary))
                for which, trials in lists.items():
                    path = output / f"{which}{line}.txt"
                    write_trials(path, trials)
                    write_speakers(path, tested.items())
                    print(row(encoder, folder, path, cohorts), flush=True)


if __name__ == "__main__":
    main()
