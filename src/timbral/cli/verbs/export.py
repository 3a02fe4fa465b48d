"""The verb export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from timbral.cli.common_options import (
    OK,
    Encoder,
    Layout,
    RunningOptions,
    load_embedder,
    option,
)
from timbral.cli.corpus_argument import find_corpus
from timbral.cli.early_checks import check_files
from timbral.errors import ConfigError, DataError

if TYPE_CHECKING:
    from timbral.inference.exported_model import Parity

__all__ = ["run"]

Precision = Annotated[
    str,
    option(
        "PRECISION",
        "precision of the stored weights: fp32, fp16 (half the size) or int8 (less than a "
        "third); computation is in float32",
    ),
]


def run(
    encoder: Encoder,
    *,
    output: Annotated[Path | None, option("FILE.onnx", "the file; use it as ENCODER")] = None,
    sherpa: Annotated[
        Path | None,
        option(
            "FILE.onnx",
            "write a file for sherpa-onnx's extractor instead; its vectors differ from the "
            "encoder's own",
        ),
    ] = None,
    web: Annotated[
        Path | None,
        option("FOLDER", "write a web page instead that compares recordings in the browser"),
    ] = None,
    onnxruntime_web: Annotated[
        Path | None,
        option(
            "PATH", "for --web: the npm package as a folder or .tgz; default: download it with npm"
        ),
    ] = None,
    precision: Precision = "fp32",
    calibrate: Annotated[
        str | None,
        option(
            "CORPUS",
            "with --precision int8: also compute products over frames in 8 bits, with ranges "
            "measured on 64 of its recordings",
        ),
    ] = None,
    layout: Layout = "auto",
    weights_dir: Annotated[
        Path | None,
        option("FOLDER", "a local copy of the weights named by ENCODER, instead of a download"),
    ] = None,
) -> int:
    """Export an encoder as one ONNX file, or as a web page.

    Both take waveforms and contain everything from samples to vectors.

    example: timbral export campplus-zh-en --output campplus.onnx
    """
    _check_options([output, sherpa, web], web, onnxruntime_web, calibrate, layout)
    check_files(onnxruntime_web)
    running = RunningOptions(device="cpu", weights_dir=weights_dir)
    if web is not None:
        return _export_page(encoder, running, web, onnxruntime_web, precision)
    if sherpa is not None:
        return _export_for_sherpa(encoder, running, sherpa, precision)
    assert output is not None
    return _export_file(encoder, running, output, precision, calibrate, layout)


def _export_file(
    encoder: str,
    running: RunningOptions,
    output: Path,
    precision: str,
    calibrate: str | None,
    layout: str,
) -> int:
    from timbral import api
    from timbral.exporting.export_encoder import check_export
    from timbral.io.progress import clock

    check_export(output, precision, calibrate is not None)
    corpus = None if calibrate is None else find_corpus(calibrate, layout)
    embedder = load_embedder(encoder, running)
    with clock("exporting"):
        made = api.export(embedder, output, precision=precision, calibrate=corpus)
    in_8_bits = f", {made.num_products} products in 8 bits" if made.num_products else ""
    print(f"{output}: {made.num_bytes / 1e6:.1f} MB, {precision}{in_8_bits}")
    _print_parity(made.parity)
    return OK


def _export_page(
    encoder: str, running: RunningOptions, web: Path, onnxruntime_web: Path | None, precision: str
) -> int:
    from timbral import api
    from timbral.exporting.browser_page import check_browser_page
    from timbral.io.progress import clock

    try:
        check_browser_page(web, precision)  # before the encoder is loaded
    except DataError as error:
        raise DataError(str(error).replace("`output`", "`web`")) from None
    embedder = load_embedder(encoder, running)
    with clock("exporting"):
        page = api.export_page(embedder, web, onnxruntime_web=onnxruntime_web, precision=precision)
    print(f"{web}: a page of {page.num_bytes / 1e6:.1f} MB for any server of files")
    if not page.has_calibration:
        print("note: the encoder has no calibration, so the page shows cosines only")
    _print_parity(page.parity)
    return OK


def _export_for_sherpa(encoder: str, running: RunningOptions, path: Path, precision: str) -> int:
    from timbral import api
    from timbral.exporting.export_encoder import check_export
    from timbral.io.progress import clock

    check_export(path, precision)
    embedder = load_embedder(encoder, running)
    with clock("exporting"):
        made = api.export_for_sherpa(embedder, path, precision=precision)
    print(f"{path}: {made.num_bytes / 1e6:.1f} MB, {precision}, for sherpa-onnx")
    _print_parity(made.parity)
    print(
        "note: sherpa-onnx computes other filter banks than the encoder was trained on. The "
        f"vectors of the exported model have a mean cosine of {made.cosine:.3f} (least "
        f"{made.least_cosine:.3f}) to those of the encoder, {made.uncorrected_cosine:.3f} without "
        "the layer that corrects for it. Do not compare them with vectors of the encoder, and do "
        "not use its threshold or calibration for them"
    )
    return OK


def _check_options(
    outputs: Sequence[Path | None],
    web: Path | None,
    onnxruntime_web: Path | None,
    calibrate: str | None,
    layout: str,
) -> None:
    if len([output for output in outputs if output is not None]) != 1:
        raise ConfigError(
            "give exactly one of --output FILE.onnx, --sherpa FILE.onnx and --web FOLDER"
        )
    if web is None and onnxruntime_web is not None:
        raise ConfigError("--onnxruntime-web is only for --web; leave it out")
    if calibrate is not None and outputs[0] is None:
        raise ConfigError("--calibrate is only for --output; leave it out")
    if calibrate is None and layout != "auto":
        raise ConfigError("--layout is only for the corpus of --calibrate; leave it out")


def _print_parity(parity: Parity) -> None:
    print(
        f"parity with torch on {parity.num_recordings} recordings ({parity.seconds:.0f} s): least "
        f"cosine {parity.cosine:.7f}, largest difference {parity.max_difference:.0e}, in a batch "
        f"{parity.batch_difference:.0e}"
    )
    if parity.eer is not None and parity.eer_fp32 is not None:
        print(
            f"EER on {parity.num_trials:,} trials of the shipped voices, 2 s each: "
            f"{100 * parity.eer:.2f} %, in fp32 {100 * parity.eer_fp32:.2f} %"
        )
