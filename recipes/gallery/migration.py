"""What migrated voices lose: EER of old–old, new–new and old enrolled / new tested.

    python recipes/gallery/migration.py OLD_BRIDGE NEW_BRIDGE OLD_TESTED NEW_TESTED [PREFIX …]

All are `embed` folders, by the old and the new encoder; the tested speakers are not in the bridge.
PREFIX chooses tested speakers by the beginning of their names (corpora). --unlabeled adds pairs of
such folders to the bridge, whose speakers are not asked; --own N adds so many recordings, without
their speakers, of one half of the tested speakers, and takes their mean in the new space; the other
half is tested. Each voice is enrolled
with 1 recording, and with all others than the one that is tested (19 of 20 in speechocean762).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from material import Material

from timbral.embeddings.vectors import unit_length
from timbral.gallery.bridge import Bridge, Unlabeled, fit_bridge
from timbral.io.types import Ints, Vectors
from timbral.scoring.intervals import SpeakerBootstrap, eer_of
from timbral.scoring.metrics import eer
from timbral.scoring.ranked_trials import RankedTrials

DRAWS_OF_ONE = 5
"""choices of the one recording that is enrolled"""


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


def figures(enrolled: Vectors, tested: Vectors, speakers: Ints) -> str:
    """EER with 1 and with all other recordings of a voice, with 95 % intervals over speakers."""
    shown = []
    for single in (True, False):
        scores, labels, first, second = [], [], [], []
        for seed in range(DRAWS_OF_ONE if single else 1):
            generator = np.random.default_rng(seed)
            for voice in range(int(speakers.max()) + 1):
                own = np.flatnonzero(speakers == voice)
                chosen = generator.choice(own, 1) if single else own
                vector = unit_length(enrolled[chosen].sum(axis=0))
                cosines = tested @ vector
                if single:
                    kept = np.setdiff1d(np.arange(len(speakers)), chosen)
                else:
                    kept = np.arange(len(speakers))
                    for row in own:
                        rest = unit_length(enrolled[own].sum(axis=0) - enrolled[row])
                        cosines[row] = tested[row] @ rest
                scores.append(cosines[kept])
                labels.append(speakers[kept] == voice)
                first.append(np.full(len(kept), voice))
                second.append(speakers[kept])
        values, same = np.concatenate(scores), np.concatenate(labels).astype(np.int64)
        bootstrap = SpeakerBootstrap(
            RankedTrials.of(values, same), np.concatenate(first), np.concatenate(second), draws=500
        )
        interval = bootstrap.interval(eer_of)
        rate = 100 * eer(values, same)[0]
        shown.append(f"{rate:.1f} ({100 * interval.low:.1f}–{100 * interval.high:.1f})")
    return " / ".join(shown)


def print_carried(bridge: Bridge, pair: Pair) -> None:
    """Whether what the map carries over tells how near a recording stays to its own voice."""
    mapped, centered = bridge.map(pair.old), bridge.center(pair.new)
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
    options = parser.parse_args()
    bridged = Pair.read(options.old_bridge, options.new_bridge, options.bridge_prefix)
    others = [
        Unlabeled(each.old, each.new)
        for each in map(Pair.read, options.unlabeled[::2], options.unlabeled[1::2])
    ]
    for prefix in options.prefixes:
        pair = Pair.read(options.old_tested, options.new_tested, prefix)
        own, added = [], others
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
        own_mean = pair.old.mean(axis=0).astype(np.float64)
        centered = bridge.center(pair.new)
        print(f"{prefix or 'all'}: {int(pair.speakers.max()) + 1} speakers")
        for name, enrolled, tested in (
            ("old–old", pair.old, pair.old),
            ("new–new", pair.new, pair.new),
            ("mapped", bridge.map(pair.old), centered),
            ("mapped, by its own mean", bridge.map(pair.old, own_mean), centered),
            (
                "mapped, own means on both sides",
                bridge.map(pair.old, own_mean),
                unit_length(pair.new - pair.new.mean(axis=0)),
            ),
        ):
            print(f"  {name}: {figures(enrolled, tested, pair.speakers)}")
        print_carried(bridge, pair)


if __name__ == "__main__":
    main()
