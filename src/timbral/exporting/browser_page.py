"""Export an encoder as a web page that compares two recordings in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from timbral.audio.quality import bandwidth, measure, risks, sound_model, speech_frames
from timbral.calibration.calibration_file import calibration_document
from timbral.errors import ConfigError, DataError
from timbral.exporting.browser_runtime import FILES, read_runtime
from timbral.exporting.export_encoder import check_export, export
from timbral.inference.embedder import Embedder
from timbral.inference.exported_model import Parity
from timbral.inference.load import embedder_of
from timbral.io.files import atomic_folder, read_json, write_json
from timbral.io.outputs import BROWSER_PAGE, claim_folder

__all__ = ["BrowserPageSummary", "check_browser_page", "export_page"]

MODEL = "encoder.onnx"
DESCRIPTION = "encoder.json"
NOTICE_FILE = "NOTICE.txt"
RUNTIME = "onnxruntime"
OWN = (
    "index.html",
    "verify.js",
    "encoder.js",
    "audio.js",
    "calibration.js",
    "quality.js",
    "spectra.js",
)
SHARED = ("service.css", "recorder.js", "results.js")
"""files that the page shares with the page of the service"""
LONGEST_SECONDS = 120
"""longest recording that the page accepts, so that it fits into the memory of a phone"""
NOTICE = """\
The folder onnxruntime holds files of onnxruntime-web, Copyright (c) Microsoft Corporation,
MIT License: https://github.com/microsoft/onnxruntime/blob/main/LICENSE
encoder.onnx: {encoder}, {license}.
Everything else is timbral's, Apache-2.0.
"""


@dataclass(frozen=True)
class BrowserPageSummary:
    """The files that `export_page` wrote."""

    folder: Path
    num_bytes: int
    """size of all files together"""
    parity: Parity
    """how close the model's vectors are to those of torch"""
    has_calibration: bool


def export_page(
    encoder: Embedder | str | Path,
    output: str | Path,
    *,
    onnxruntime_web: Path | None = None,
    precision: str = "fp32",
) -> BrowserPageSummary:
    """Write a web page, index.html and all that it needs, for any file server.

    The page decodes two recordings, from files or the microphone, measures them, embeds them with
    the exported encoder in onnxruntime-web, and decides with the encoder's calibration. Its content
    security policy allows only its own files.

    Args:
        encoder: an Embedder, or anything that `load_encoder` takes
        output: a folder, new, empty or with an earlier page, which is replaced
        onnxruntime_web: the npm package, as for `read_runtime`; None: npm downloads it once
        precision: precision of the model, as for `export`

    Raises ConfigError for an encoder that trims recordings or whose rate is not 16 kHz, and the
    errors of `export` and `read_runtime`.
    """
    folder = Path(output)
    check_browser_page(folder, precision)
    embedder = embedder_of(encoder, device="cpu")
    _check_encoder(embedder)
    runtime = read_runtime(onnxruntime_web)
    with atomic_folder(folder) as temporary:
        exported = export(embedder, temporary / MODEL, precision=precision)
        for name, content in {**_scripts(), **_runtime_files(runtime)}.items():
            target = temporary / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        notice = NOTICE.format(
            encoder=embedder.name or "an encoder", license=embedder.license or "no license stated"
        )
        (temporary / NOTICE_FILE).write_text(notice, "utf-8")
        write_json(temporary / DESCRIPTION, _description(embedder))
        num_bytes = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
    return BrowserPageSummary(folder, num_bytes, exported.parity, embedder.calibration is not None)


def check_browser_page(folder: Path, precision: str) -> None:
    """The checks that need no encoder: raises DataError, and the errors of `check_export`."""
    claim_folder(folder, BROWSER_PAGE)
    written = {MODEL, DESCRIPTION, NOTICE_FILE, RUNTIME, *OWN, *SHARED}
    written |= {f"{RUNTIME}/{name}" for name in FILES}
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    if others := [name for name in found if name not in written]:
        raise DataError(
            f"{folder}: also contains {others[0]!r}, which was not written by `export` and would "
            "be removed; choose a new folder as `output`, or move that file elsewhere"
        )
    check_export(folder / MODEL, precision)


def _check_encoder(embedder: Embedder) -> None:
    trim = embedder.preprocessing.trim
    if trim != "none":
        raise ConfigError(
            f"{embedder.name}: recordings must be trimmed for it ({trim}), which the page cannot "
            "do; use an encoder trained on untrimmed recordings"
        )
    if embedder.sample_rate != 16_000:
        raise ConfigError(
            f"{embedder.name}: takes {embedder.sample_rate} Hz, but the page works at "
            "16000 Hz; use an encoder for that sample rate"
        )


def _scripts() -> dict[str, bytes]:
    own = files("timbral.exporting") / "page"
    shared = files("timbral.serving") / "page"
    return {
        **{name: (own / name).read_bytes() for name in OWN},
        **{name: (shared / name).read_bytes() for name in SHARED},
    }


def _runtime_files(runtime: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{RUNTIME}/{name}": content for name, content in runtime.items()}


def _description(embedder: Embedder) -> dict[str, Any]:
    """What the page must know about the encoder, its calibration and recordings."""
    network = embedder.runtime.network
    calibration = embedder.calibration
    return {
        "encoder": embedder.name or network.name,
        "license": embedder.license,
        "weights_sha256": embedder.weights_sha256,
        "sample_rate": embedder.sample_rate,
        "min_samples": network.min_samples,
        "longest_seconds": LONGEST_SECONDS,
        "preprocessing": embedder.preprocessing.as_dict(),
        "calibration": None if calibration is None else calibration_document(calibration),
        "quality": _quality(),
    }


def _quality() -> dict[str, Any]:
    """The limits and regressions of `timbral.audio.quality`."""
    table = read_json(sound_model.WEIGHTS)
    return {
        "models": {name: table[name] for name in ("speech", "music")},
        "limits": {
            "silence_dbfs": sound_model.SILENCE_DBFS,
            "near_loudest_db": sound_model.NEAR_LOUDEST_DB,
            "best_fraction": sound_model.BEST_FRACTION,
            "impossible": sound_model.IMPOSSIBLE,
            "stretch_frames": speech_frames.STRETCH_FRAMES,
            "background": speech_frames.BACKGROUND,
            "loud": speech_frames.LOUD,
            "above_fraction": speech_frames.ABOVE_FRACTION,
            "above_db": speech_frames.ABOVE_DB,
            "below_loud_db": speech_frames.BELOW_LOUD_DB,
            "side_frames": speech_frames.SIDE_FRAMES,
            "speech_logit": speech_frames.SPEECH_LOGIT,
            "least_pause": measure.LEAST_PAUSE,
            "below_peak_db": bandwidth.BELOW_PEAK_DB,
            "rounding_dbfs": bandwidth.ROUNDING_DBFS,
        },
        "risks": {
            "speech_probability": risks.SPEECH_PROBABILITY,
            "short_seconds": risks.SHORT_SECONDS,
            "clipped_fraction": risks.CLIPPED_FRACTION,
            "narrow_hz": risks.NARROW_HZ,
            "channel_correlation": risks.CHANNEL_CORRELATION,
            "quiet_dbfs": risks.QUIET_DBFS,
            "noisy_db": risks.NOISY_DB,
            "music_fraction": risks.MUSIC_FRACTION,
        },
    }
