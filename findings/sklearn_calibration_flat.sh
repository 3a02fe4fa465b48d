#!/usr/bin/env bash
# scikit-learn 1.9.1, numpy 2.4.6; lir 1.3.1
#
# Guess, written down before: LogisticRegression as it is, fitted to cosines of 10,000 trials, has a slope within 5 % of
# the fit without a penalty, and within 20 % with 500 trials.
# Seen: of cosines 0.6 +- 0.1 (same speaker) and 0.1 +- 0.1, half of the slope with 10,000 trials and a tenth with 500.
# The penalty acts on the slope per unit of the score, and a cosine has to be multiplied by 20 to 50 to be a
# logarithm of odds; it fades only with some hundred thousand trials. Errors at the threshold of even odds stay
# the same, so that an equal error rate does not show it. Where voices are harder to tell apart (+- 0.15), the
# slope is 0.4 of the right one with 500 trials. LogitCalibrator of lir, made for likelihood ratios in court, is this default
# fit and has the same slope; LogitCalibrator(C=numpy.inf) is right.
# Who is hurt: whoever calibrates similarities in this way (the usual recipe for "probability that it is one voice"). With
# 500 trials a rule "sure above 0.99" accepts 1 % of the same speaker's trials instead of 96 %, with 10,000 66 % instead of
# 94 %, and Cllr is 0.18 where the scores allow 0.03; what is then combined with a prior is wrong by orders of magnitude.
# What to do: LogisticRegression(C=numpy.inf); scaling scores to unit variance first takes away most of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 lir==1.3.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from lir.algorithms.logistic_regression import LogitCalibrator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

generator = np.random.default_rng(0)


def trials(number: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    same = np.arange(number) % 2 == 0
    return np.where(same, 0.6, 0.1) + spread * generator.standard_normal(number), same


def cllr(odds: np.ndarray, same: np.ndarray) -> float:
    return float(np.logaddexp(0, -odds[same]).mean() + np.logaddexp(0, odds[~same]).mean()) / (2 * np.log(2))


ok = True
for spread in (0.1, 0.15):
    fresh, fresh_same = trials(200_000, spread)
    for number in (500, 10_000, 500_000):
        scores, same = trials(number, spread)
        ways = {
            "default": LogisticRegression(),
            "no penalty": LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-8),
            "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
        }
        line, slopes, errors = [], {}, {}
        for name, model in ways.items():
            model.fit(scores[:, None], same)
            odds = model.decision_function(fresh[:, None])
            slopes[name] = np.polyfit(fresh, odds, 1)[0]
            errors[name] = cllr(odds, fresh_same)
            sure = np.mean(model.predict_proba(fresh[fresh_same][:, None])[:, 1] > 0.99)
            typical = model.predict_proba([[0.6]])[0, 1]
            line.append(f"{name}: slope {slopes[name]:.1f}, {typical:.4f} at 0.6, {sure:.0%} of same-speaker trials "
                        f"above 0.99, Cllr {errors[name]:.4f}")
        print(f"spread {spread}, {number} trials\n  " + "\n  ".join(line))
        for name, options in (("default", {}), ("no penalty", {"C": np.inf, "max_iter": 10_000, "tol": 1e-8})):
            low, high = LogitCalibrator(**options).fit(scores[:, None], same).transform(np.array([[0.1], [0.6]]))[:, 0]
            slope = float(np.log(10) * (high - low) / 0.5)
            print(f"  lir, {name}: slope {slope:.1f}")
            ok &= abs(slope / slopes[name] - 1) < 0.02
        right = 0.5 / spread**2
        most = {500: 0.45, 10_000: 0.85, 500_000: 1.1}[number]
        ok &= slopes["default"] < most * right
        ok &= number > 10_000 or errors["default"] > errors["no penalty"]
sys.exit(0 if ok else "the behavior has changed: the default fit is as steep as the one without a penalty")
PYTHON
