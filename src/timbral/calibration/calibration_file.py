"""A Calibration as a file: JSON, checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from timbral.calibration.calibration import Calibration, OperatingPoint, lowest_scale
from timbral.calibration.conditions import FEATURES
from timbral.config.dataclass_fields import dataclass_of
from timbral.errors import ConfigError, DataError
from timbral.io.files import read_json, write_json
from timbral.io.outputs import FileKind

__all__ = [
    "CALIBRATION",
    "CALIBRATION_FILE",
    "calibration_document",
    "open_calibration",
    "parse_calibration",
    "read_calibration",
    "write_calibration",
]

FORMAT = 1
ORTHONORMAL_ERROR = 1e-4
"""tolerance for float32 numbers written with all their digits"""
CALIBRATION_FILE = "calibration.json"
"""name of the file in a checkpoint folder"""
CALIBRATION = FileKind("a calibration", signature=b'"calibration": ')


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a Calibration as JSON."""
    write_json(path, calibration_document(calibration))


def calibration_document(calibration: Calibration) -> dict[str, Any]:
    """The content of a calibration's file, as one JSON object."""
    return {"calibration": FORMAT, **asdict(calibration)}


def read_calibration(path: str | Path) -> Calibration:
    """Read a file from `write_calibration`; DataError for any other file."""
    return parse_calibration(read_json(Path(path)), Path(path))


def parse_calibration(content: Any, path: Path) -> Calibration:
    """The Calibration in a JSON object read from `path`; DataError for any other object."""
    if not isinstance(content, dict) or content.pop("calibration", None) != FORMAT:
        raise DataError(f"{path}: is not a calibration; `timbral calibrate` writes one")
    try:
        calibration = dataclass_of(Calibration, content, str(path))
    except ConfigError as error:
        raise DataError(f"{error}; `timbral calibrate` writes calibrations") from None
    except TypeError:  # of a dataclass that lacks some of its fields
        raise DataError(
            f"{path}: a key of the calibration is missing; `timbral calibrate` writes calibrations"
        ) from None
    if (reason := _what_is_wrong(calibration)) is not None:
        raise DataError(f"{path}: {reason}; `timbral calibrate` writes calibrations")
    return calibration


def open_calibration(
    given: Calibration | str | Path, weights_sha256: str, embedding_sha256: str
) -> Calibration:
    """A Calibration, or that in a file; DataError if it is for other weights or preprocessing."""
    if isinstance(given, Calibration):
        given.check_encoder(weights_sha256, embedding_sha256)
        return given
    calibration = read_calibration(given)
    calibration.check_encoder(weights_sha256, embedding_sha256, str(given))
    return calibration


def _what_is_wrong(calibration: Calibration) -> str | None:
    columns = {len(calibration.offset), len(calibration.scale)}
    if len(columns) != 1 or not columns <= {1, 1 + len(FEATURES)}:
        return f"offset and scale should have 1 or {1 + len(FEATURES)} numbers each"
    if calibration.uses_conditions and not calibration.measured:
        return "uses recording conditions, but says that they were not measured"
    if not all(map(math.isfinite, _numbers(calibration))):
        return "contains a number that is not finite"
    ranges = calibration.ranges
    limits = (calibration.limits, *asdict(ranges).values())
    if not all(len(pair) == 2 and pair[0] <= pair[1] for pair in limits):
        return "limits and ranges should be pairs, the lower number first"
    if not min(*ranges.speech_seconds, *ranges.bandwidth_hz) > 0:
        return "ranges of speech_seconds and bandwidth_hz should be above 0"
    if not lowest_scale(np.array(calibration.scale), ranges) > 0:
        return (
            "scale should be above 0 everywhere in the ranges, because the llr must rise with "
            "the cosine"
        )
    if not calibration.points:
        return "points should contain one or more points, in rising order of llr"
    return (
        _what_is_wrong_with_points(calibration.points)
        or _what_is_wrong_with_points(calibration.short_points)
        or _what_is_wrong_with_directions(calibration.nuisance)
    )


def _what_is_wrong_with_points(points: Sequence[OperatingPoint]) -> str | None:
    llrs = [point.llr for point in points]
    if llrs != sorted(llrs):
        return "points should contain one or more points, in rising order of llr"
    rates = [rate for point in points for rate in list(vars(point).values())[1:]]
    if not all(0 <= rate <= 1 for rate in rates):
        return "rates of points should be between 0 and 1"
    return None


def _what_is_wrong_with_directions(nuisance: tuple[tuple[float, ...], ...]) -> str | None:
    if not nuisance:
        return None
    if len({len(each) for each in nuisance}) != 1 or len(nuisance) >= len(nuisance[0]):
        return "nuisance should contain directions of equal length, fewer than each has numbers"
    rows = np.array(nuisance)
    if np.abs(rows @ rows.T - np.eye(len(rows))).max() > ORTHONORMAL_ERROR:
        return "nuisance should contain directions of length 1 that are orthogonal to each other"
    return None


def _numbers(value: Any) -> list[float]:
    if is_dataclass(value):  # `asdict` would copy thousands of numbers one by one
        value = vars(value)
    if isinstance(value, dict):
        return [number for item in value.values() for number in _numbers(item)]
    if isinstance(value, tuple | list):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, int | float) else []
