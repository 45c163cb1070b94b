"""How much of a sweep is gone through: a few cases, or in the thorough profile all in parts."""

from __future__ import annotations

import os
import random
from collections import Counter

SEED = "NEWBI_FAULTS_SEED"
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
# A sweep is collected as so many tests, which run side by side and are dealt out to the shards.
PARTS = 8


class Sample:
    """A part of a sweep: a few of its cases, or in the thorough profile every eighth.

    Every change is judged by the same cases; a seed in the environment draws others.
    """

    def __init__(self, part=0):
        self.part = part
        self.thorough = THOROUGH
        self.seed = int(os.environ.get(SEED, "0"))
        self.counts = Counter()

    def of(self, kind, everything, size):
        """The cases to go through; they are counted as so many of this kind."""
        chosen = list(everything)
        if self.thorough:
            chosen = chosen[self.part :: PARTS]
        elif size < len(chosen):
            chosen = random.Random(self.seed).sample(chosen, size)
        self.counts[kind] += len(chosen)
        return chosen

    def chance(self, *names):
        """Chance that is the same for the same names."""
        return random.Random(f"{self.seed} {names}")

    def __str__(self):
        return f"{SEED}={self.seed}"
