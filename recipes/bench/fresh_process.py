"""Times that only a fresh process can tell."""

import os
import statistics
import subprocess
import sys


def printed_numbers(code: str, **environment: str) -> list[float]:
    """The numbers in the last line that `code` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def against_limit(samples: list[float], limit_seconds: float) -> str:
    """Median and worst of some seconds, for a line of output."""
    return (
        f"median {1e3 * statistics.median(samples):.0f} ms, worst {1e3 * max(samples):.0f} ms "
        f"of {len(samples)} (limit {1e3 * limit_seconds:.0f} ms)"
    )
