"""The SparKV benchmark without a host: bound and bars on records made by hand, options, texts, the proxy, a dry run."""

import json
import subprocess
import sys

import pytest

NAME = "bench/sparkv"

HAND = """
import bars, json
from dataclasses import asdict
from settings import Condition

# 0.001 s a token whatever its position, and nothing else: prefill of 2,000 tokens takes 2 s
MODEL = dict(step_seconds=0.0, token_seconds=0.001, pair_seconds=0.0, num_samples=8, relative_error=0.0)

def facts(condition, mbit=8.0, stored_bytes=2_000_000):
    return dict(name=condition.name, condition=asdict(condition), mbit_set=mbit, mbit_measured=mbit, model=MODEL,
                reusable_tokens=2000, stored_bytes=stored_bytes, floor_s=0.0, after_s=0.5)

def runs(condition, same=True, **seconds):
    names = {"prefill": "prefill", "stream": "stream all", "ours": "SparKV", "int8": "SparKV, int8"}
    return [dict(condition=condition.name, method=names[name], seconds=value, repeat=repeat, same_tokens=same,
                 received_bytes=0, load_average=1.0, reports=[dict(streamed_tokens=0)])
            for name, values in seconds.items() for repeat, value in enumerate(values)]

def verdicts(*cases, dtype="float32"):
    found = [one for condition, own, other in cases for one in bars.outcomes([facts(condition, **other)], own, dtype)]
    return [verdict.met for verdict in bars.judge(found, found)]

EVEN, FAST = Condition(2048), Condition(2048, 100.0)
"""


@pytest.fixture
def ask(ask_recipe):
    return lambda code: ask_recipe(NAME, HAND + code)


def test_bound_is_the_harmonic_split_where_both_rates_are_steady(ask):
    # prefill 2 s, transfer 2,000,000 * 8 / 8e6 = 2 s: 2 * 2 / (2 + 2) = 1 s, and a floor of 0.1 s on top of 1.9 s
    code = """
from hindsight import Measured, bound_s
from gainful.sparkv.costs import ComputeModel
even = Measured(tokens=2000, stored_bytes=2_000_000, prefill_s=2.0, floor_s=0.0, mbit=8.0)
floor = Measured(tokens=2000, stored_bytes=2_000_000, prefill_s=2.1, floor_s=0.1, mbit=8.0)
answer = [bound_s(one, ComputeModel(**MODEL)) for one in (even, floor)]
"""
    assert ask(code) == pytest.approx([1.0, 1.1], abs=0.02)


def test_bound_after_an_outage_computes_what_had_not_come(ask):
    # after 0.5 s a quarter of the 2 s transfer has come and no more does: three quarters of 2 s are computed
    code = """
from hindsight import Measured, bound_s
from gainful.sparkv.costs import ComputeModel
dead = Measured(tokens=2000, stored_bytes=2_000_000, prefill_s=2.0, floor_s=0.0, mbit=8.0, factor=0.0, after_s=0.5)
answer = bound_s(dead, ComputeModel(**MODEL))
"""
    assert ask(code) == pytest.approx(1.5, abs=0.02)


def test_bound_is_never_above_either_route_alone(ask):
    code = """
from hindsight import Measured, bound_s
from gainful.sparkv.costs import ComputeModel
late = ComputeModel(**{**MODEL, "pair_seconds": 1e-6})
answer = []
for mbit in (0.1, 1.0, 8.0, 64.0, 1000.0):
    for rtt in (0.0, 500.0, 5000.0):
        one = Measured(tokens=2000, stored_bytes=2_000_000, prefill_s=2.0, floor_s=0.0, mbit=mbit, rtt_ms=rtt)
        answer.append([bound_s(one, late), min(2.0, rtt / 1000 + 16 / mbit)])
"""
    assert all(0.0 < bound <= single + 1e-9 for bound, single in ask(code))


def test_planned_prefix_balances_a_pipeline_of_layers(ask):
    # 0.001 s a token either way, 2,048 tokens: half of them, where both take 1.024 s
    code = """
from hindsight import best_prefix
from gainful.sparkv.costs import ComputeModel
answer = best_prefix(ComputeModel(**MODEL), 20, 2048, 128, 1e6, 2_048_000)
"""
    assert ask(code) == 1024


def test_a_good_run_meets_every_bar(ask):
    code = """
drop = Condition(2048, factor=0.25)
answer = verdicts(
    (EVEN, runs(EVEN, prefill=[2.0] * 3, stream=[2.1] * 3, ours=[1.05, 1.0, 9.0]), {}),
    (drop, runs(drop, prefill=[2.0] * 3, stream=[6.5] * 3, ours=[1.4] * 3), {}),
)
"""
    # the bound after the drop: a quarter came in 0.5 s, then x = 2 - T seconds of computing are saved by streaming at a
    # quarter of the rate: 0.5 + 0.25 (T - 0.5) = 2 - T, T = 1.3
    assert ask(code) == [True, True, True, True, True]


def test_one_bad_condition_misses_its_bar_and_no_other(ask):
    code = """
slow_link = Condition(2048, 1.0)
answer = verdicts(
    (EVEN, runs(EVEN, prefill=[2.0], stream=[2.0], ours=[1.3]), {}),
    (slow_link, runs(slow_link, prefill=[2.0], stream=[16.0], ours=[2.2]), dict(mbit=1.0)),
)
"""
    # 2.0 / 1.3 < 1.6; 2.2 > 1.05 * 2.0; 1.3 over a bound of 1.0 and 2.2 over 16/9; nothing changed its rate
    assert ask(code) == [False, False, False, None, True]


def test_what_was_not_run_is_not_judged(ask):
    code = """
answer = verdicts((FAST, runs(FAST, prefill=[2.0], ours=[1.0]), {}), dtype="bfloat16")
"""
    # no stream to be even with; one single path is there; the transfer is long; no change; tokens count in float32 only
    assert ask(code) == [None, True, True, None, None]


def test_short_transfers_are_not_held_against_the_bound(ask):
    code = """
answer = verdicts((FAST, runs(FAST, prefill=[2.0], stream=[0.2], ours=[0.2]), dict(mbit=100.0)))
"""
    assert ask(code)[2] is None


def test_one_run_with_other_tokens_misses_the_bar_of_identity_unless_it_is_lossy(ask):
    code = """
right = runs(EVEN, prefill=[2.0], ours=[1.0, 1.0])
answer = [
    verdicts((EVEN, right + runs(EVEN, same=False, ours=[1.0]), {}))[-1],
    verdicts((EVEN, right + runs(EVEN, same=False, int8=[1.0]), {}))[-1],
]
"""
    assert ask(code) == [False, True]


def test_tables_are_rectangular_and_name_every_condition(ask):
    code = """
import outputs
own = runs(EVEN, prefill=[2.0], ours=[1.0]) + runs(FAST, int8=[0.5])
found = bars.outcomes([facts(EVEN), facts(FAST)], own, "float32")
answer = [outputs.method_rows(found), outputs.condition_rows(found), outputs.verdict_rows(bars.judge(found, []))]
"""
    for rows in ask(code):
        assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[0] for row in ask(code)[1][1:]] == ["2,048 tokens, break-even", "2,048 tokens, 100 Mbit/s"]


def test_the_adapter_takes_every_option_that_is_set(ask):
    code = """
from pathlib import Path
from engines import llm_arguments
from gainful_vllm.options import read_options, read_params
from methods import ENGINES, METHODS, Choice
from settings import Setup
setup = Setup("tiny", "float32", (EVEN,), tuple(METHODS), 1)
arguments = [llm_arguments(name, setup, Path("m"), "redis://h:1/0", Path("out")) for name in ENGINES]
transfers = [one["kv_transfer_config"] for one in arguments]
modes = [read_options(one["kv_connector_extra_config"]).mode for one in transfers]
params = [method.params(Choice(True, 1024), 1920) for method in METHODS.values()]
policies = [one["kv_load_failure_policy"] for one in transfers]
answer = [modes, [read_params({"sparkv": one}).mode for one in params], policies]
"""
    modes, asked, policies = ask(code)
    assert modes == ["two_pointer", "layerwise", "two_pointer"]
    assert set(asked) == {"compute", "async_prefix", "layerwise", "two_pointer"}
    assert set(policies) == {"recompute"}


def test_more_repeats_and_conditions_join_the_same_runs_and_other_settings_do_not(ask):
    code = """
from dataclasses import replace
from settings import Setup
setup = Setup("tiny", "float32", (EVEN,), ("prefill",), 1)
more = replace(setup, repeats=9, methods=("SparKV",), conditions=(FAST,))
others = [more, replace(setup, dtype="bfloat16"), replace(setup, threads=2)]
answer = [one.digest == setup.digest for one in others]
"""
    assert ask(code) == [True, False, False]


def test_an_outage_is_met_by_methods_that_can_end(ask):
    code = """
from methods import METHODS, planned
from settings import Setup
setup = Setup("tiny", "float32", (EVEN, Condition(2048, factor=0.0)), tuple(METHODS), 2)
answer = [sorted({method for name, method, _ in planned(setup) if name == one.name}) for one in setup.conditions]
answer.append(len(planned(setup)))
"""
    steady, dead, num_runs = ask(code)
    assert set(steady) - set(dead) == {"stream all", "stream all, int8", "static split"}
    assert num_runs == 2 * (len(steady) + len(dead))


def test_a_line_cut_short_by_a_stop_is_run_again(ask, tmp_path):
    file = tmp_path / "runs.jsonl"
    file.write_text('{"repeat": 0}\n{"repeat": 1}\n{"rep')
    assert ask(
        f"from pathlib import Path\nfrom records import read_records\nanswer = read_records(Path({str(file)!r}))"
    ) == [
        {"repeat": 0},
        {"repeat": 1},
    ]


def test_every_question_has_its_answer_in_the_text(ask):
    code = """
import numpy as np
from facts import FACTS, KEYS, VALUES, texts
batch = texts(20, 64, 8, np.random.default_rng(3))
def value_in(body, key):
    (found,) = [place for place in np.argwhere(np.isin(FACTS, body)).tolist() if place[0] == key]
    return VALUES[found[1]]
questions = [(row[:64], row[64:].reshape(-1, 2)) for row in batch]
right = [value_in(body, key - KEYS[0]) == value for body, asked in questions for key, value in asked]
answer = [len(batch[0]), len(right), bool(np.all(right))]
"""
    assert ask(code) == [64 + 16, 20 * 8, True]


def test_the_proxy_passes_every_byte_and_counts_those_of_the_store(ask):
    code = """
import asyncio, os
from proxy import Shaper, serve

async def main():
    sent = os.urandom(1 << 20)
    async def store(reader, writer):
        assert await reader.readexactly(5) == b"fetch"
        writer.write(sent)
        await writer.drain()
        writer.close()
    upstream = await asyncio.start_server(store, "127.0.0.1", 0)
    shaper = Shaper()
    shaper.set(4000.0, 1.0)
    proxy = await serve("127.0.0.1", upstream.sockets[0].getsockname()[1], shaper)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.sockets[0].getsockname()[1])
    writer.write(b"fetch")
    got = await reader.read(-1)
    writer.close()
    return [got == sent, shaper.num_bytes]

answer = asyncio.run(main())
"""
    assert ask(code) == [True, 1 << 20]


def test_a_dead_link_lets_nothing_through_until_it_lives(ask):
    code = """
import asyncio
from proxy import Shaper

async def main():
    shaper = Shaper()
    shaper.set(0.0, 0.0)
    passing = asyncio.create_task(shaper.pass_through(10))
    for _ in range(5):
        await asyncio.sleep(0)
    waited = not passing.done()
    shaper.set(1000.0, 0.0)
    await asyncio.wait_for(passing, 10)
    return [waited, shaper.num_bytes]

answer = asyncio.run(main())
"""
    assert ask(code) == [True, 10]


def test_a_timed_connector_has_a_row_in_every_condition(ask):
    code = """
import outputs
from settings import Setup
own = runs(EVEN, prefill=[2.0, 4.0], ours=[1.0, 1.0])
loaded = dict(method="LMCache", received_bytes=33_500_000)
other = [{**run, **loaded, "same_tokens": run["repeat"] == 0} for run in own[:2]]
setup = asdict(Setup("60M", "bfloat16", (EVEN,), (), 2))
timed = dict(lmcache="0.5.6", setup=setup, facts=[facts(EVEN)], runs=own + other)
peers = dict(tried={"OffloadingConnector": "ImportError: no"}, timed=timed)
answer = [outputs.timed_peer_rows(timed), outputs.as_text({}, [], None, peers)]
"""
    rows, text = ask(code)
    # the median of 2 and 4 s is 3 s, and 99 of 100 are below 3.98 s
    assert rows[3] == ["2,048 tokens, break-even", "8", "LMCache", "3.00 (3.98)", "33.5", "1 of 2", "1.0-1.0"]
    assert [row[2] for row in rows[1:]] == ["prefill", "SparKV", "LMCache"]
    assert "| OffloadingConnector | ImportError: no |" in text
    assert "60M model, bfloat16" in text


def test_where_lmcache_is_not_installed_the_table_says_how_it_is(ask, tmp_path):
    code = f"""
import outputs
from lmcache_peer import how_to_install
from pathlib import Path
from peers import TIMED
answer = outputs.as_text({{}}, [], None, dict(tried={{TIMED: how_to_install(Path({str(tmp_path)!r}))}}, timed=None))
"""
    text = ask(code)
    assert "| LMCacheMPConnector | not measured" in text
    assert f"{tmp_path}/lmcache-0.5.6" in text
    assert "--install-peers" in text


def test_lmcache_is_installed_by_exact_versions_without_requirements(ask, tmp_path):
    code = f"""
from lmcache_peer import PACKAGES, install_command
from pathlib import Path
answer = [install_command(Path({str(tmp_path)!r})), list(PACKAGES)]
"""
    command, packages = ask(code)
    assert {"--no-deps", "--target", str(tmp_path)} < set(command)
    assert all("==" in package for package in packages)


def test_an_install_that_fails_says_why_and_leaves_no_folder(ask, tmp_path):
    code = f"""
import lmcache_peer
from pathlib import Path
folder = Path({str(tmp_path)!r}) / "lmcache-0"
lmcache_peer.PACKAGES = ({str(tmp_path / "missing.whl")!r},)
try:
    lmcache_peer.install(folder)
except lmcache_peer.PeerError as error:
    answer = [str(error), folder.exists()]
"""
    said, exists = ask(code)
    assert "LMCache was not installed" in said
    assert "missing.whl" in said
    assert not exists


def test_a_server_that_cannot_start_is_reported_with_its_log(ask, tmp_path):
    code = f"""
from lmcache_peer import PeerError, running_server
from pathlib import Path
empty = Path({str(tmp_path)!r})
try:
    with running_server(empty, "127.0.0.1", 6379, empty / "server.log"):
        answer = "started"
except PeerError as error:
    answer = str(error)
"""
    said = ask(code)
    assert "server has ended" in said
    assert "No module named 'lmcache'" in said


def test_a_connector_that_goes_on_without_itself_is_not_said_to_run(ask):
    code = """
from peers import without_backend
answer = [without_backend("INFO: ready\\nERROR: No supported cpu connector found, x"), without_backend("INFO: ready")]
"""
    assert ask(code) == ["runs, and loads nothing: No supported cpu connector found", ""]


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(run_recipe, tmp_path):
    asked = ("--model", "60M", "--mbit", "50", "--extra", "drop", "--repeats", "3")
    printed = run_recipe(NAME, "--dry-run", *asked, "--out", tmp_path / "out")
    assert "4,096 tokens, 50 Mbit/s" in printed
    assert "4,096 tokens, break-even, x 0.25" in printed
    assert f"{3 * 9 * 3} runs" in printed  # three conditions, nine methods, three repeats
    assert not (tmp_path / "out").exists()


def test_an_option_that_would_be_ignored_is_refused(repository):
    command = [sys.executable, repository / "recipes" / NAME, "--dry-run", "--tokens", "512", "--mbit", "10"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--tokens, --mbit: the published timings have their own; add --model, one of tiny, 60M, 234M" in done.stderr


def test_without_a_model_the_published_timings_are_run_each_in_a_folder_of_its_own(run_recipe):
    printed = run_recipe(NAME, "--dry-run", "--only", "timing")
    groups = [line for line in printed.splitlines() if line.startswith("timing: ")]
    assert len({line.rpartition(" ")[2] for line in groups}) == len(groups) == 5
    assert "8,192 tokens, break-even" in printed
    assert "RTT 50 ms" in printed


def test_a_quick_dry_run_has_no_timings_and_exact_methods_only(run_recipe):
    printed = run_recipe(NAME, "--quick", "--dry-run")
    assert "234M" not in printed
    assert "int8" not in printed


def test_nothing_measured_gives_a_page_that_says_so(run_recipe, tmp_path):
    printed = run_recipe(NAME, "--only", "page", "--out", tmp_path)
    assert printed.count("not measured") == 5
    verdicts = json.loads((tmp_path / "result.json").read_text())["bars"]
    assert [verdict["met"] for verdict in verdicts] == [None] * 5
    assert "not measured" in (tmp_path / "index.html").read_text()
