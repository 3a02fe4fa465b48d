"""The verb prepare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from timbral.audio.preprocessing import TRIMS, Preprocessing
from timbral.cli.common_options import (
    Layout,
    one_of,
    option,
    print_passed_over,
    report_failures,
)
from timbral.cli.corpus_argument import find_corpus, print_left_out_columns
from timbral.cli.wording import count
from timbral.data.prepared.formats import FORMATS
from timbral.errors import ConfigError, check_choice
from timbral.io.cores import usable_cores
from timbral.io.durations import duration
from timbral.io.memory import keep_freed_memory
from timbral.io.progress import bar

if TYPE_CHECKING:
    from timbral.data.manifest import Manifest
    from timbral.data.prepared.prepare import PrepareSummary

__all__ = ["run"]


def run(
    corpus: Annotated[
        Positional[str | None],
        option("[CORPUS]", "a folder, a recording, a list, a table (path, speaker), a URL, or -"),
    ] = None,
    *,
    output: Annotated[Path, option("FOLDER", "for the prepared data; a killed run resumes there")],
    layout: Layout = "auto",
    datasets_root: Annotated[
        Path | None, option("FOLDER", "a folder with several corpora, instead of CORPUS")
    ] = None,
    dataset_names: Annotated[
        tuple[str, ...],
        option("NAME ...", "names from `timbral corpora` in --datasets-root, or NAME/SUBFOLDER"),
    ] = (),
    format: Annotated[
        str,
        option(
            one_of(FORMATS), "memory-mapped 16 kHz PCM; PaddleSpeech's precomputed mels; FLAC files"
        ),
    ] = "arrow",
    trim: Annotated[
        str,
        option(
            one_of(["auto", *TRIMS]),
            "how to trim silence; auto: the usual method for these corpora, else none",
        ),
    ] = "auto",
    min_rms_dbfs: Annotated[
        str, option("DBFS|none", "quieter recordings are raised to this RMS level")
    ] = "-30",
    workers: Annotated[int, option("N", "processes")] = usable_cores(),
) -> int:
    """Decode corpora once, into audio that training reads fast.

    example: timbral prepare LibriTTS --layout libritts --output data
    """
    from timbral import api
    from timbral.data.prepared.default_trim import default_trim

    check_choice("--format", format, FORMATS)  # before the corpus is listed
    check_choice("--trim", trim, ["auto", *TRIMS])
    level = _decibels(min_rms_dbfs)
    utterances = _find(corpus, layout, datasets_root, dataset_names)
    preprocessing = Preprocessing(default_trim(utterances) if trim == "auto" else trim, level)
    keep_freed_memory()
    with bar("preparing") as advance:
        summary = api.prepare(
            utterances, output, preprocessing, format=format, workers=workers, progress=advance
        )
    code = _print_summary(summary, output)
    _print_passed_over(corpus, datasets_root, dataset_names, utterances)
    return code


def _print_summary(summary: PrepareSummary, folder: Path) -> int:
    state = "was complete already" if summary.reused else "prepared"
    print(
        f"{state}: {count(summary.num_utterances, 'utterance')} of "
        f"{count(summary.num_speakers, 'speaker')}, {duration(3600 * summary.hours)}, in {folder}"
    )
    if summary.num_too_short:
        what = count(summary.num_too_short, "utterance")
        print(f"{what} left out: shorter than a precomputed mel may be (160 frames)")
    return report_failures(summary.num_failures, folder)


def _print_passed_over(
    corpus: str | None, root: Path | None, names: tuple[str, ...], utterances: Manifest
) -> None:
    from timbral.data.corpora.passed_over import count_passed_over
    from timbral.data.corpora.scanning import dataset_folders

    folders = [corpus] if corpus is not None else []
    folders += [str(folder) for folder in dataset_folders(root, names)] if root is not None else []
    print_passed_over(count_passed_over(folders, utterances))


def _find(corpus: str | None, layout: str, root: Path | None, names: tuple[str, ...]) -> Manifest:
    """The utterances of the corpus, or of the corpora below `root`."""
    from timbral.data.corpora.scanning import scan_datasets

    if (root is None) != (not names):
        raise ConfigError("--datasets-root and --dataset-names go together; give both")
    if (corpus is None) == (root is None):
        raise ConfigError(
            "give a corpus, as in `timbral prepare CORPUS --output FOLDER`, or several of "
            "`timbral corpora` by --datasets-root and --dataset-names"
        )
    if root is not None:
        found = scan_datasets(root, names)
        print_left_out_columns(found)
        return found
    assert corpus is not None
    return find_corpus(corpus, layout)


def _decibels(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--min-rms-dbfs must be a level in dBFS or none, got {text!r}") from None
