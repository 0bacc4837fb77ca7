"""Fuzzes the targets: `run.py` all of them, one after the other; `run.py NAME [OPTION of libFuzzer]...` one.

FUZZ_SECONDS (default 60) is for each. What grows from the seeds stays in build/fuzz/NAME, and is where the next run
begins; an input that broke a promise is build/fuzz/NAME.crash-*.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from fuzz.mutation import Mutator
from fuzz.promises import SECONDS, all_targets

GROWN = Path(__file__).resolve().parents[2] / "build" / "fuzz"
INSTRUMENTED = ["acr_credential_provider", "acr_node_config"]
LARGEST = 4096
MEGABYTES = 2048


def fuzz(name: str, options: list[str]) -> None:
    """Fuzz one target; does not return."""
    import atheris

    target = all_targets()[name]
    grown = GROWN / name
    grown.mkdir(parents=True, exist_ok=True)
    target.corpus.mkdir(exist_ok=True)
    with atheris.instrument_imports(include=INSTRUMENTED, enable_loader_override=False):
        harness = target.load()
    words = [
        f"-max_total_time={os.environ.get('FUZZ_SECONDS', '60')}",
        f"-max_len={LARGEST}",
        f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-artifact_prefix={GROWN}/{name}.",
        "-print_final_stats=1",
    ]

    def mutate(data: bytes, largest: int) -> bytes:
        return atheris.Mutate(data, largest)  # which is another function from Fuzz() on

    words += [*options, str(grown), str(target.corpus)]
    atheris.Setup([sys.argv[0], *words], harness, custom_mutator=Mutator(mutate))
    atheris.Fuzz()


def fuzz_all() -> int:
    """Fuzz each target in a process of its own; return how many broke a promise."""
    broken = 0
    for name in all_targets():
        with open(GROWN / f"{name}.log", "wb") as log:
            code = subprocess.run([sys.executable, __file__, name], check=False, stdout=log, stderr=log).returncode
        lines = (GROWN / f"{name}.log").read_text(errors="replace")
        count = (re.findall(r"number_of_executed_units: (\d+)", lines) or ["?"])[-1]
        covered = (re.findall(r"cov: (\d+)", lines) or ["?"])[-1]
        print(f"{name:32} {count:>10} inputs, {covered:>6} branches, {'ok' if not code else 'BROKEN'}", flush=True)
        broken += code != 0
    return broken


if __name__ == "__main__":
    GROWN.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:]:
        fuzz(sys.argv[1], sys.argv[2:])
    sys.exit(1 if fuzz_all() else 0)
