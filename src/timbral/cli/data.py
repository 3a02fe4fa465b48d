"""Verbs over recordings: corpora, prepare, inspect, manifest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from timbral.cli.shared import OK, count_failures
from timbral.errors import ConfigError
from timbral.io.progress import bar

if TYPE_CHECKING:
    from timbral.data.manifest import Manifest
    from timbral.data.prepared.prepare import PrepareReport

__all__ = ["corpora", "inspect", "manifest", "prepare"]


def corpora() -> int:
    """List the corpora that timbral knows: size, license, page, and the folder it expects."""
    from timbral.data.corpora.registry import CORPORA

    for name, corpus in CORPORA.items():
        if corpus.folder:
            print(f"{name:18} {corpus.size}; {corpus.license}")
            print(f"{'':18} {corpus.page}")
            for line in corpus.expected:
                alternative = line.startswith("or ")
                path = f"{corpus.folder}/{line.removeprefix('or ')}"
                print(f"{'':18} {'or ' * alternative}{path}")
    return OK


def prepare(
    *,
    output_dir: Path,
    folder: Path | None = None,
    layout: str = "folder",
    kaldi: Path | None = None,
    lhotse: Path | None = None,
    manifest: Path | None = None,
    datasets_root: Path | None = None,
    dataset_names: str = "",
    format: Literal["arrow", "npy", "flac"] = "arrow",
    trim: Literal["auto", "none", "energy", "silero", "edges", "webrtc"] = "auto",
    min_rms_dbfs: str = "-30",
    workers: int = os.cpu_count() or 1,
) -> int:
    """Turn corpora into data that training reads without waiting.

    Args:
        output_dir: where the prepared data goes; a killed run is continued there
        folder: a folder of recordings, SPEAKER/[SESSION/]UTTERANCE.wav unless --layout says else
        layout: how --folder lies: folder, or a name of `timbral corpora`
        kaldi: a Kaldi data directory (wav.scp, utt2spk)
        lhotse: a folder with Lhotse's manifests of recordings and supervisions
        manifest: a table (parquet, csv, tsv, jsonl) with columns path and speaker
        datasets_root: the folder that holds the corpora of --dataset-names
        dataset_names: names of `timbral corpora`, with commas between
        format: arrow (16 kHz PCM, memory-mapped), npy (PaddleSpeech's precomputed mels) or flac
        trim: how silence is cut; auto is the corpora's own rule, else none; silero and webrtc need
            the extra [vad]
        min_rms_dbfs: raise quieter recordings to this level in dBFS, or none
        workers: processes
    """
    from timbral import api
    from timbral.audio.preprocessing import Preprocessing
    from timbral.data.sources import default_trim

    names = [name for name in dataset_names.split(",") if name]
    level = _decibels(min_rms_dbfs)
    sources = [
        ("--folder", folder, layout),
        ("--kaldi", kaldi, "kaldi"),
        ("--lhotse", lhotse, "lhotse"),
        ("--manifest", manifest, "folder"),
        ("--datasets-root", datasets_root, ""),
    ]
    utterances = _find(sources, names)
    preprocessing = Preprocessing(default_trim(utterances) if trim == "auto" else trim, level)
    with bar("preparing") as advance:
        report = api.prepare(
            utterances, output_dir, preprocessing, format=format, workers=workers, progress=advance
        )
    return _tell(report, output_dir)


def _tell(report: PrepareReport, folder: Path) -> int:
    state = "was complete already" if report.reused else "prepared"
    print(
        f"{state}: {report.utterances:,} utterances of {report.speakers:,} speakers, "
        f"{report.hours:.2f} h, in {folder}"
    )
    if report.too_short:
        print(f"{report.too_short:,} left out: shorter than precomputed mels takes (160 frames)")
    return count_failures(report.failures, folder)


def _find(sources: list[tuple[str, Path | None, str]], names: list[str]) -> Manifest:
    """The utterances of the one source that is given: (flag, path, layout)."""
    from timbral.data.corpora.registry import scan_datasets
    from timbral.data.sources import find_utterances

    given = [(flag, path, layout) for flag, path, layout in sources if path is not None]
    if len(given) != 1:
        flags = ", ".join(flag for flag, _, _ in sources)
        raise ConfigError(f"one of {flags} is needed, got {len(given)} of them")
    flag, path, layout = given[0]
    if (flag == "--datasets-root") != bool(names):
        raise ConfigError("--datasets-root and --dataset-names go together; give both")
    return scan_datasets(path, names) if names else find_utterances(path, layout)


def _decibels(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--min-rms-dbfs is a level in dBFS or none, got {text!r}") from None


def inspect(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    *,
    layout: str = "folder",
    html: Path | None = None,
) -> int:
    """Look through a corpus or prepared data: what it holds, and what looks wrong.

    Args:
        data: a folder made by `timbral prepare`, precomputed mels, a corpus, or a table
        layout: how a corpus lies in its folder: folder, or a name of `timbral corpora`
        html: write a page, too, with every suspicious recording
    """
    from timbral.data.inspect.inspection import inspect_data
    from timbral.reports.inspection_page import describe, write_inspection

    with bar("listening") as advance:
        found = inspect_data(data, layout, advance)
    print(describe(found))
    if html is not None:
        write_inspection(found, html)
        print(f"page: {html}")
    return OK


def manifest(
    data: Annotated[Positional[str], arg(metavar="DATA")],
    *,
    output: Path,
    format: Literal["parquet", "csv", "jsonl", "kaldi", "lhotse"] = "parquet",
    layout: str = "folder",
) -> int:
    """Write the list of a corpus's utterances, for other tools.

    Args:
        data: a corpus, a folder made by `timbral prepare`, or a table of utterances
        output: a file; a folder for kaldi and lhotse
        format: a table (parquet, csv, jsonl), a Kaldi data directory, or Lhotse's manifests
        layout: how a corpus lies in its folder: folder, or a name of `timbral corpora`
    """
    from timbral.data.lists.export import write_list
    from timbral.data.sources import find_utterances

    utterances = find_utterances(data, layout)
    written, failures = write_list(utterances, output, format)
    print(f"{written:,} utterances in {output}")
    return count_failures(failures, output)
