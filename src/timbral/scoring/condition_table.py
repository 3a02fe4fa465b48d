"""Tables of error rates by condition, for the terminal and the page of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from timbral.scoring.condition_figures import Condition

__all__ = ["condition_rows"]


def condition_rows(conditions: Sequence[Condition]) -> list[tuple[str, ...]]:
    """Conditions of one column as rows of a table, of which the first is the header."""
    priors = sorted({prior for each in conditions for prior in each.min_dcf}, key=float)
    head = (
        "",
        "trials",
        "targets",
        "speakers",
        "EER %",
        "95 % interval",
        "miss %",
        "false alarm %",
    )
    is_calibrated = any(each.cllr is not None for each in conditions)
    actual = [f"actDCF({prior})" for prior in priors] if is_calibrated else []
    costs = (*(f"minDCF({prior})" for prior in priors), "min Cllr")
    rows = [(*head, *costs, *(["Cllr (min)", *actual] if is_calibrated else ()))]
    for each in conditions:
        interval = each.eer_interval
        bounds = [] if interval is None else [_percent(interval.low), _percent(interval.high)]
        counts = (each.num_trials, each.num_targets, each.num_speakers)
        rows.append(
            (
                each.value,
                *(f"{count:,}" for count in counts),
                _percent(each.eer),
                " to ".join(bounds),
                _percent(each.miss),
                _percent(each.false_alarm),
                *_costs(each.min_dcf, priors),
                "" if each.min_cllr is None else f"{each.min_cllr:.3f}",
                *(_calibrated_costs(each, priors) if is_calibrated else ()),
            )
        )
    return rows


def _calibrated_costs(condition: Condition, priors: Sequence[str]) -> tuple[str, ...]:
    if condition.cllr is None:
        return ("",) * (1 + len(priors))
    shown = f"{condition.cllr:.3f} ({condition.least_cllr:.3f})"
    return shown, *_costs(condition.actual_dcf, priors)


def _costs(of_priors: Mapping[str, float], priors: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{of_priors[prior]:.3f}" if of_priors else "" for prior in priors)


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.2f}"
