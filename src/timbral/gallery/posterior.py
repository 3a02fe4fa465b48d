"""Probabilities of N enrolled voices, and of none of them, from likelihood ratios.

Before anything is compared, each of the N voices has the probability prior / N, and "none of them"
has 1 - prior. The likelihood ratio of a voice compares "this voice" with "none of them"; the scores
of the other voices are equally likely under both, because their speakers are strangers to the
recording. By Bayes' theorem,

    P(voice i) ∝ prior / N · exp(llr_i),    P(nobody) ∝ 1 - prior.

No probability is larger than the data support: if up to a fraction b of strangers' searches may end
in any name, and the data cannot show that it is less, P(nobody) is at least

    (1 - prior) b / (prior + (1 - prior) b).
"""

from __future__ import annotations

import numpy as np

from timbral.io.types import Floats

__all__ = ["posterior"]


def posterior(
    llrs: Floats, num_voices: int, prior: float, least_false_accept: float
) -> tuple[Floats, float]:
    """Probabilities of voices (K,), and of nobody.

    Args:
        llrs: (K,) natural logarithms of the likelihood ratios of the K likeliest voices; the others
            count like the last of them
        num_voices: N, K or more
        prior: probability that the speaker is enrolled, in (0, 1)
        least_false_accept: smallest rate of strangers' searches with any name that the data support
    """
    each = np.log(prior) - np.log(num_voices) + llrs
    nobody = np.log1p(-prior)
    rest = num_voices - len(llrs)
    others = [each.min() + np.log(rest)] if rest and len(llrs) else []
    total = np.logaddexp.reduce([nobody, *each, *others])
    probabilities, of_nobody = np.exp(each - total), float(np.exp(nobody - total))
    unseen = (1 - prior) * least_false_accept
    least = unseen / (prior + unseen)
    if of_nobody >= least:
        return np.asarray(probabilities), of_nobody
    return np.asarray(probabilities * (1 - least) / (1 - of_nobody)), least
