"""What gainful adds to the start of a vLLM server that does not use it.

    python recipes/bench/vllm_startup.py

In fresh processes, after everything that a server imports anyway: loading the entry point and calling it, as vLLM does
once in each of its processes.
"""

import argparse
import statistics
import sys

from fresh_process import against_limit, printed_numbers
from rich.console import Console
from rich.progress import track

LIMIT_SECONDS = 0.100
CODE = """
import time
from importlib.metadata import entry_points
import vllm.engine.arg_utils, vllm.v1.engine.core
import vllm.distributed.kv_transfer.kv_connector.factory
point, = entry_points(group="vllm.general_plugins", name="gainful")
start = time.perf_counter()
point.load()()
print(time.perf_counter() - start)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    console = Console(width=120)
    found = [printed_numbers(CODE)[0] for _ in track(range(repeats), "vLLM", console=console, transient=True)]
    console.print(f"loading and calling the entry point: {against_limit(found, LIMIT_SECONDS)}", highlight=False)
    return 0 if statistics.median(found) <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
