"""What `import verl` costs more with gainful installed.

    python recipes/bench/import_cost.py

Two measurements in fresh processes. The plug-in alone: the time of loading it after verl, in one process. The whole:
`import verl` in turns with and without the plug-in, whose difference drowns in the noise of seconds of importing.
"""

import argparse
import statistics
import sys

from fresh_process import against_limit, printed_numbers
from rich.console import Console
from rich.progress import track

LIMIT_SECONDS = 0.050
WITHOUT = "no_such_plugin"  # verl looks for plug-ins all the same, and loads none
CODE = """
import time
start = time.perf_counter()
import verl
whole = time.perf_counter() - start
start = time.perf_counter()
import gainful_verl.autoload
print(whole, time.perf_counter() - start)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    console = Console(width=120)
    without, with_us = [], []
    for _ in track(range(repeats), "import verl", console=console, transient=True):
        without.append(printed_numbers(CODE, VERL_USE_EXTERNAL_PLUGINS=WITHOUT))
        with_us.append(printed_numbers(CODE, VERL_USE_EXTERNAL_PLUGINS="gainful"))
    wholes = [statistics.median(whole for whole, _ in samples) for samples in (without, with_us)]
    plugin = [seconds for _, seconds in without]
    console.print(
        f"loading the plug-in: {against_limit(plugin, LIMIT_SECONDS)}\n"
        f"import verl: median {wholes[0]:.2f} s without it, {wholes[1]:.2f} s with it",
        highlight=False,
    )
    return 0 if statistics.median(plugin) <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
