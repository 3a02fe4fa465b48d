"""What migrated voices lose: EER of old and old, new and new, old enrolled and new tested vectors.

    python recipes/gallery/migration.py OLD_BRIDGE NEW_BRIDGE OLD_TESTED NEW_TESTED [PREFIX …]

All are `embed` folders, from the old and the new encoder; the tested speakers are not in the
bridge. PREFIX selects tested speakers by the beginning of their names (corpora). --unlabeled adds
pairs of such folders to the bridge, without their speakers. --own N adds N recordings of one half
of the tested speakers, without their names, and uses the mean of that half in the new space; the
other half is tested. With --folds K the tested speakers may be in the bridge: one fold of them at a
time is tested, and left out of it. Each voice is enrolled with 1 recording, and with all but the
one that is tested (19 of 20 in speechocean762).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from material import Material

from timbral.embeddings.vectors import unit_length
from timbral.gallery.bridge import Bridge, Unlabeled, fit_bridge, weighed
from timbral.io.types import Ints, Vectors
from timbral.scoring.intervals import SpeakerBootstrap, eer_of
from timbral.scoring.metrics import eer
from timbral.scoring.ranked_trials import RankedTrials

DRAWS_OF_ONE = 5
"""number of draws of the one recording that is enrolled"""


@dataclass(frozen=True)
class Pair:
    """Recordings that both encoders embedded."""

    old: Vectors
    new: Vectors
    speakers: Ints
    names: list[str]

    @classmethod
    def read(cls, old: Path, new: Path, prefix: str = "") -> Pair:
        one, other = Material.read(old), Material.read(new)
        rows = {name: row for row, name in enumerate(one.names)}
        pairs = [
            (rows[name], row)
            for row, name in enumerate(other.names)
            if name in rows and other.speakers[row].startswith(prefix)
        ]
        a, b = np.array(pairs).T
        names = [other.speakers[row] for row in b]
        return cls(
            one.vectors[a], other.vectors[b], np.unique(names, return_inverse=True)[1], names
        )

    def rows(self, rows: Ints) -> Pair:
        names = [self.names[row] for row in rows]
        return Pair(self.old[rows], self.new[rows], self.speakers[rows], names)

    def halves(self, count: int) -> tuple[list[Unlabeled], Pair]:
        """Some recordings of every second speaker, and all of the other speakers.

        With a `count` of 0 there are 100, which are to be taken for their mean alone.
        """
        first = np.flatnonzero(self.speakers % 2 == 0)
        rest = np.flatnonzero(self.speakers % 2 == 1)
        chosen = np.random.default_rng(0).permutation(first)[: count or 100]
        names = [self.names[row] for row in rest]
        tested = Pair(
            self.old[rest], self.new[rest], np.unique(names, return_inverse=True)[1], names
        )
        return [Unlabeled(self.old[chosen], self.new[chosen])], tested


@dataclass(frozen=True)
class Trials:
    """Scores of enrolled voices and tested recordings."""

    scores: Vectors
    same: Ints
    voices: Ints
    tested: Ints
    """the speakers of the tested recordings"""

    @classmethod
    def of(
        cls,
        enrolled: Vectors,
        tested: Vectors,
        speakers: Ints,
        single: bool,
        weigh: Callable[[Vectors], Vectors] = unit_length,
    ) -> Trials:
        """Score voices of a `single` recording (several draws), or of all but the tested one.

        `weigh` converts the sum of a voice's vectors to the vector that tests are multiplied with.
        """

        def voice_of(rows: Ints) -> Vectors:
            return np.asarray(weigh(enrolled[rows].sum(axis=0)[None])[0])

        found = []
        for seed in range(DRAWS_OF_ONE if single else 1):
            generator = np.random.default_rng(seed)
            for voice in np.unique(speakers):
                own = np.flatnonzero(speakers == voice)
                chosen = generator.choice(own, 1) if single else own
                scores = tested @ voice_of(chosen)
                kept = np.arange(len(speakers))
                if single:
                    kept = np.setdiff1d(kept, chosen)
                else:
                    for row in own:
                        scores[row] = tested[row] @ voice_of(own[own != row])
                same = (speakers[kept] == voice).astype(np.int64)
                found.append(cls(scores[kept], same, np.full(len(kept), voice), speakers[kept]))
        return cls.joined(found)

    @classmethod
    def joined(cls, parts: Sequence[Trials]) -> Trials:
        fields = [(each.scores, each.same, each.voices, each.tested) for each in parts]
        return cls(*(np.concatenate(each) for each in zip(*fields, strict=True)))

    def __str__(self) -> str:
        """EER with its 95 % interval over speakers."""
        ranked = RankedTrials.of(self.scores, self.same)
        bootstrap = SpeakerBootstrap(ranked, self.voices, self.tested, draws=500)
        interval = bootstrap.interval(eer_of)
        rate = 100 * eer(self.scores, self.same)[0]
        return f"{rate:.1f} ({100 * interval.low:.1f}–{100 * interval.high:.1f})"


def all_trials(bridge: Bridge, pair: Pair) -> dict[str, list[Trials]]:
    """The trials of each way of comparing: with one recording of a voice, and with all others."""
    weigh = partial(weighed, matrix=bridge.origin)
    own_mean = pair.old.mean(axis=0).astype(np.float64)
    mapped, by_own = bridge.map(pair.old), bridge.map(pair.old, own_mean)
    centered = weighed(pair.new - bridge.new_mean, bridge.backward)
    own_centered = weighed(pair.new - pair.new.mean(axis=0), bridge.backward)
    ways: dict[str, tuple[Vectors, Vectors, Callable[[Vectors], Vectors]]] = {
        "old–old": (pair.old, pair.old, unit_length),
        "new–new": (pair.new, pair.new, unit_length),
        "mapped": (mapped, centered, weigh),
        "mapped, by its own mean": (by_own, centered, weigh),
        "mapped, own means on both sides": (by_own, own_centered, weigh),
    }
    return {
        name: [
            Trials.of(enrolled, tested, pair.speakers, single, weigh) for single in (True, False)
        ]
        for name, (enrolled, tested, weigh) in ways.items()
    }


def in_folds(bridged: Pair, pair: Pair, folds: int) -> dict[str, list[Trials]]:
    """Like `all_trials`, with the speakers in folds, each by a bridge fitted to all others."""
    found: dict[str, list[list[Trials]]] = {}
    for fold in range(folds):
        tested = pair.rows(np.flatnonzero(pair.speakers % folds == fold))
        left = set(tested.names)
        rest = bridged.rows(np.flatnonzero([name not in left for name in bridged.names]))
        bridge = fit_bridge(rest.old, rest.new, rest.names)
        for name, trials in all_trials(bridge, tested).items():
            found.setdefault(name, []).append(trials)
    return {
        name: [Trials.joined(each) for each in zip(*parts, strict=True)]
        for name, parts in found.items()
    }


def print_trials(found: dict[str, list[Trials]]) -> None:
    for name, trials in found.items():
        print(f"  {name}: {' / '.join(map(str, trials))}")


def print_carried(bridge: Bridge, pair: Pair) -> None:
    """Print whether `Bridge.carried` predicts how near a recording stays to its own voice."""
    mapped, centered = bridge.map(pair.old), unit_length(pair.new - bridge.new_mean)
    carried = bridge.carried(pair.old)
    rows = np.arange(len(mapped))
    near = np.array(
        [
            np.mean(centered[(pair.speakers == who) & (rows != row)] @ mapped[row])
            for row, who in enumerate(pair.speakers)
        ]
    )
    low = carried < bridge.least_carried
    marked = near[low].mean() if low.any() else np.nan
    print(
        f"  carried and cosine to its own voice: correlation "
        f"{np.corrcoef(carried, near)[0, 1]:.2f}; marked {100 * low.mean():.1f} %, their mean "
        f"cosine {marked:.2f}, of the others {near[~low].mean():.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("old_bridge", "new_bridge", "old_tested", "new_tested"):
        parser.add_argument(name, type=Path)
    parser.add_argument("prefixes", nargs="*", default=[""])
    parser.add_argument("--bridge-prefix", default="")
    parser.add_argument("--unlabeled", type=Path, nargs="*", default=[], metavar="OLD NEW")
    parser.add_argument("--own", type=int, default=-1)
    parser.add_argument("--folds", type=int, default=0)
    options = parser.parse_args()
    bridged = Pair.read(options.old_bridge, options.new_bridge, options.bridge_prefix)
    others = [
        Unlabeled(each.old, each.new)
        for each in map(Pair.read, options.unlabeled[::2], options.unlabeled[1::2])
    ]
    for prefix in options.prefixes:
        pair = Pair.read(options.old_tested, options.new_tested, prefix)
        if options.folds:
            print(f"{prefix or 'all'}: {int(pair.speakers.max()) + 1} speakers in folds")
            print_trials(in_folds(bridged, pair, options.folds))
            continue
        own: list[Unlabeled] = []
        added = others
        if options.own >= 0:
            own, pair = pair.halves(options.own)
            added = [*others, *own] if options.own else others
        bridge = fit_bridge(bridged.old, bridged.new, bridged.names, unlabeled=added)
        print(
            f"bridge: {len(bridged.names):,} recordings of {len(set(bridged.names)):,} speakers "
            f"and {sum(len(each.old) for each in added):,} without, penalty {bridge.penalty:g}, "
            f"cross EER {100 * bridge.cross_eer:.1f} %"
        )
        for each in own:
            bridge = replace(bridge, new_mean=each.new.mean(axis=0).astype(np.float64))
        print(f"{prefix or 'all'}: {int(pair.speakers.max()) + 1} speakers")
        print_trials(all_trials(bridge, pair))
        print_carried(bridge, pair)


if __name__ == "__main__":
    main()
