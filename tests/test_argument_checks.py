"""Checks of thresholds, error rates and priors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from timbral.calibration.argument_checks import check_prior, check_rate, check_threshold
from timbral.errors import ConfigError


@pytest.mark.parametrize("value", [2.0, -3, float("nan"), "0.5", [0.5], np.full(2, 0.5)])
def test_what_is_no_number_in_the_range_is_an_error(value: Any) -> None:
    with pytest.raises(ConfigError, match="`threshold` is a cosine"):
        check_threshold(value)
    with pytest.raises(ConfigError, match="`prior` is the probability"):
        check_prior(value)
    with pytest.raises(ConfigError, match="`false_accept` must be between"):
        check_rate("false_accept", value)


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    kinds: list[Any] = [float, np.float32, np.float64, np.array, torch.tensor]
    for kind in kinds:
        check_threshold(kind(0.5))
        check_prior(kind(0.5))
        check_rate("false_accept", kind(0.01))
    check_threshold(None)
    check_threshold(1)
