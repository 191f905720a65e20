"""What `import verl` costs more with gainful installed: fresh processes in turns, with and without the plug-in.

python recipes/bench/import_cost.py
"""

import argparse
import os
import statistics
import subprocess
import sys

from rich.console import Console
from rich.progress import track

LIMIT_SECONDS = 0.050
WITHOUT = "no_such_plugin"  # verl looks for plug-ins all the same, and loads none
CODE = """
import time
start, cpu = time.perf_counter(), time.process_time()
import verl
print(time.perf_counter() - start, time.process_time() - cpu)
"""


def import_seconds(policy: str) -> tuple[float, float]:
    """Wall and processor time of `import verl` in a fresh process under one plug-in policy of verl."""
    environment = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": policy}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    wall, processor = done.stdout.split()[-2:]
    return float(wall), float(processor)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    console = Console(width=120)
    samples: dict[str, list[tuple[float, float]]] = {WITHOUT: [], "gainful": []}
    for repeat in track(range(repeats + 1), "import verl", console=console, transient=True):
        for policy, values in samples.items():
            measured = import_seconds(policy)
            if repeat:  # the first fills the page cache
                values.append(measured)
    for kind, column in (("wall", 0), ("processor", 1)):
        without, with_us = (statistics.median(row[column] for row in samples[key]) for key in samples)
        console.print(
            f"import verl, {kind} time, median of {repeats}: {without:.3f} s without, {with_us:.3f} s with gainful, "
            f"difference {1e3 * (with_us - without):+.0f} ms (limit {1e3 * LIMIT_SECONDS:.0f} ms)",
            highlight=False,
        )
    return 0 if with_us - without <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
