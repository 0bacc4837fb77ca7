"""Random kills for as long as you like: MINUTES=30 make soak. SEED=n runs one round again."""

import json
import os
import random
import sys
import time

from e2e.chaos import kill_at_random

ROUND = 300


def test_kills_at_random_points_tear_nothing():
    until = time.monotonic() + 60 * float(os.environ.get("MINUTES", "10"))
    seeds = [int(os.environ["SEED"])] if "SEED" in os.environ else []
    while seeds or time.monotonic() < until:
        seed = seeds.pop() if seeds else random.SystemRandom().randrange(1 << 32)
        sys.stderr.write(f"SEED={seed} ")
        counts = kill_at_random(ROUND, seed)
        sys.stderr.write(json.dumps(counts) + "\n")
        if "SEED" in os.environ:
            return
