"""The page of recipes/bench/sparkv, from runs that were never run, to the file that is named."""

import sys
from dataclasses import asdict
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "recipes"))
sys.path.append(str(Path(__file__).parents[3] / "recipes/bench/sparkv"))

import bars
import outputs
from methods import METHODS, OURS
from settings import Condition

EVEN, TITLE = Condition(2048), "tiny model, float32"
MODEL = {"step_seconds": 0.0, "token_seconds": 0.001, "pair_seconds": 0.0, "num_samples": 8, "relative_error": 0.0}
REPORT = {"streamed_tokens": 1000, "met_at_token": 1000}
QUALITY = {"parameters": 1000, "prompts": 2, "prompt_tokens": 64, "generated_tokens": 8}
CODEC = {"codec": "int8", "bytes_ratio": 4.0, "same_prompts": 2, "recall": 1.0, "same_top": 1.0, "same_tokens": 0.99}
ERRORS = dict.fromkeys(("max_error", "key_error", "value_error", "kl_mean", "kl_max"), 0.001)


def facts(condition, mbit):
    route = {"reusable_tokens": 2000, "stored_bytes": 2_000_000, "floor_s": 0.0, "after_s": 0.5, "model": MODEL}
    return {**route, "name": condition.name, "condition": asdict(condition), "mbit_set": mbit, "mbit_measured": mbit}


def run(condition, method, seconds):
    samples = [(seconds * part / 4, 250_000 * part) for part in range(5)]
    told = {"received_bytes": 1_000_000, "load_average": 1.0, "reports": [REPORT], "samples": samples}
    return {"condition": condition.name, "method": method, "seconds": seconds, "repeat": 0, "same_tokens": True, **told}


conditions = {EVEN: 8.0, Condition(2048, 4.0): 4.0, Condition(2048, 100.0): 100.0}
runs = [run(one, name, 1.0 if name == OURS else 2.0) for one in conditions for name in METHODS]
found = bars.outcomes([facts(*one) for one in conditions.items()], runs, "float32")
quality = {**QUALITY, "rows": [{**CODEC, **ERRORS}]}
timed = {
    "facts": [facts(EVEN, 8.0)],
    "runs": [run(EVEN, name, 2.0) for name in ("LMCache", OURS)],
    "setup": {"repeats": 1, "model": "tiny", "dtype": "float32"},
    "lmcache": "0",
}
peers = {"tried": {"OffloadingConnector": "was started"}, "timed": timed}
outputs.write(Path(sys.argv[1]), {TITLE: found}, {TITLE: runs}, bars.judge(found, found), quality, peers)
