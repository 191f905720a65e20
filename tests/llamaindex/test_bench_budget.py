"""The budget benchmark: no gold leaks, equal luck for all methods, an auditor that finds what it should."""

import asyncio
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gainful.budget import Budget, ControllerConfig
from gainful_llamaindex import BudgetedSearchAgent, BudgetedSearchQueryEngine

FOLDER = Path(__file__).parents[2] / "recipes" / "bench" / "budget"
KNOBS = {"number": 2, "first": "plan", "may_stop": True, "shown": 50, "at_least": 1, "repeat_calls": "allow"}
TOWNS = ("Tarnholm", "Ilvane", "Brack", "Quellmouth", "Sorrel", "Kesh", "Orrast", "Dunmere")
PEOPLE = ("Oda Brinnel", "Pell Aston", "Corin Vash", "Mira Tolk", "Jon Harrik", "Ysa Lorn", "Bram Ockley", "Tess Quoin")
FILMS = (
    "Velmar Crossing",
    "Harrow Gate",
    "A Quiet Weir",
    "Salt Road",
    "Tin Summer",
    "Low Lantern",
    "Elm Row",
    "Far Ash",
)


@pytest.fixture(scope="module")
def bench():
    """The modules of the recipe, which is a folder and no package; other tests do not see them."""
    names = [file.stem for file in FOLDER.glob("*.py") if file.stem not in ("__main__", "page")]  # one needs matplotlib
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.path.insert(0, str(FOLDER))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    sys.path.remove(str(FOLDER))
    for name in names:
        del sys.modules[name]
    sys.modules.update(kept)


def paragraphs():
    films = [
        {"title": film, "text": f"{film} is a film directed by {who}."} for film, who in zip(FILMS, PEOPLE, strict=True)
    ]
    people = [{"title": who, "text": f"{who} was born in {town}."} for who, town in zip(PEOPLE, TOWNS, strict=True)]
    return films + people


def records(dataset):
    """Eight two-hop questions over one small world, in the form of one of the three data sets."""
    for number, (film, who, town) in enumerate(zip(FILMS, PEOPLE, TOWNS, strict=True)):
        gold = {
            "hotpotqa": {},
            "2wiki": {"triples": [[film, "director", who], [who, "place of birth", town]]},
            "musique": {
                "sub_questions": [
                    {"question": f"{film} >> director", "answer": who, "paragraph_support_idx": number},
                    {"question": "#1 >> place of birth", "answer": town, "paragraph_support_idx": len(FILMS) + number},
                ]
            },
        }[dataset]
        yield {
            "id": f"{dataset}-{number}",
            "type": None,
            "question": f"Where was the director of the film {film} born?",
            "answers": [town],
            "paragraphs": paragraphs(),
            "gold": {"titles": [film, who], **gold},
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder as the benchmark expects it."""
    path = tmp_path_factory.mktemp("multihop")
    for name, splits in {"hotpotqa": ("tune", "eval"), "2wiki": ("tune", "eval"), "musique": ("eval",)}.items():
        for split in splits:
            lines = [json.dumps(record) for record in records(name)]
            (path / f"{name}_{split}.jsonl").write_text("\n".join(lines))
    (path / "2wiki_distractors.json").write_text(json.dumps([*paragraphs()[:3], {"title": "Kesh", "text": "A port."}]))
    return path


@pytest.fixture(scope="module")
def world(bench, folder):
    one = bench.data.load_set(folder, "musique", "eval")
    return bench.cells.Bench.of("musique", one.questions, bench.pool.Pool(one.passages))


def rows_of(bench, world, method, budget="3/500", seed=0, config=None):
    every = {**bench.methods.METHODS, **bench.methods.ABLATIONS}
    cell = bench.cells.Cell(world.name, budget, method, seed)
    noise = bench.noise.default_noise()
    return bench.cells.run_cell(world, cell, every[method], noise, config or ControllerConfig(), KNOBS)


def test_passages_are_pooled_without_repeats(bench, folder):
    one = bench.data.load_set(folder, "2wiki", "eval")
    assert (
        len(one.passages) == 2 * len(FILMS) + 1
    )  # eight questions share their paragraphs, three distractors are known
    assert bench.data.overlap(folder) == (2 * len(FILMS), 2 * len(FILMS))


def test_gold_passages_of_musique_are_found_by_index_not_by_title(bench, tmp_path):
    record = next(records("musique"))
    record["paragraphs"].insert(0, {"title": FILMS[0], "text": "Another thing of that name."})
    for step in record["gold"]["sub_questions"]:
        step["paragraph_support_idx"] += 1
    (tmp_path / "musique_eval.jsonl").write_text(json.dumps(record))
    question = bench.data.load_set(tmp_path, "musique", "eval").questions[0]
    pool = {passage.id: passage for passage in bench.data.load_set(tmp_path, "musique", "eval").passages}
    assert [pool[name].text for name in question.gold_ids] == [
        paragraphs()[0]["text"],
        paragraphs()[len(FILMS)]["text"],
    ]


def test_a_missing_file_is_named(bench, tmp_path):
    with pytest.raises(bench.data.DataError, match=r"expected .*musique_eval.jsonl, found no such file"):
        bench.data.load_set(tmp_path, "musique", "eval")


@pytest.mark.parametrize("name", ["hotpotqa", "2wiki", "musique"])
def test_a_query_names_only_what_was_read(bench, folder, name):
    one = bench.data.load_set(folder, name, "eval")
    film, person = (next(p for p in one.passages if p.title == title) for title in (FILMS[0], PEOPLE[0]))
    question = one.questions[0]
    before = bench.hops.reachable_queries(question, [])
    assert not any(PEOPLE[0] in query or TOWNS[0] in query for query in before)
    assert PEOPLE[0] in bench.hops.reachable_queries(question, [film])[0]
    assert bench.hops.reachable_queries(question, [film, person]) == []


def test_draws_depend_on_names_and_not_on_their_order(bench, world):
    noise, question = bench.noise.default_noise(), world.questions[0]
    one, other = (bench.brain.Brain(question, noise, 7, ["x"]) for _ in range(2))
    forward = [one.draw(channel, slot) for channel in ("a", "b") for slot in (0, 1)]
    backward = [other.draw(channel, slot) for channel in ("b", "a") for slot in (1, 0)]
    assert sorted(forward) == sorted(backward)
    assert len(set(forward)) == 4
    assert bench.brain.Brain(question, noise, 8, ["x"]).draw("a", 0) != forward[0]


def test_more_gold_never_turns_a_right_answer_wrong(bench, world):
    noise = bench.noise.default_noise().model_copy(update={"form_error": 0.0})
    for question in world.questions:
        for seed in range(20):
            brain = bench.brain.Brain(question, noise, seed, ["x"])
            gold = [world.pool.by_id[name] for name in question.gold_ids]
            right = [brain.answer(gold[:number]) == question.answers[0] for number in range(3)]
            assert right == sorted(right)


def test_a_cap_cuts_a_plan_to_nothing_and_an_answer_to_its_first_words(bench, world):
    question, noise = world.questions[0], bench.noise.default_noise()
    brain = bench.brain.Brain(question, noise, 0, ["x"])
    llm = bench.model.SimulatedLLM(brains={question.text: brain}, by_line=world.lines)
    plan = bench.loops.PROPOSE_PROMPT.format(passages="none", facts="nothing", question=question.text)
    assert llm.say(plan, 3) == ("", 3)
    assert llm.say(plan, 100)[0].startswith(("NEXT: ", "DONE: "))
    assert bench.model._cut(bench.model.Said(kind="answer", text="one two three four", num_tokens=8), 4) == "one two"
    assert [call.max_tokens for call in llm.calls] == [3, 100]


@pytest.mark.parametrize(
    ("searches", "llm", "found"),
    [
        ([["q", 5]], [["answer", 300, 12, 90]], []),
        ([["q", 5]] * 3, [["answer", 300, 12, 90]], ["3 searches, limit 2"]),
        ([], [["answer", 301, 12, 90]], ["answer: a cap of 301 was sent with 300 left"]),
        ([], [["plan", 48, 40, 9], ["answer", 261, 9, 9]], ["answer: a cap of 261 was sent with 260 left"]),
        ([], [["answer", 10, 12, 90]], ["answer: 12 tokens came back for a cap of 10"]),
        (
            [],
            [["a", 300, 200, 1], ["b", 100, 101, 1]],
            ["b: 101 tokens came back for a cap of 100", "301 output tokens"],
        ),
    ],
)
def test_the_auditor_recounts_from_raw_logs(bench, searches, llm, found):
    said = list(bench.auditor.audit({"searches": searches, "llm": llm}, 2, 300))
    assert len(said) == len(found)
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def test_scores_by_hand(bench):
    f1, exact = bench.scoring.f1, bench.scoring.exact
    assert f1("the Oda Brinnel", ["Oda Brinnel"]) == 1.0
    assert f1("Brinnel", ["Oda Brinnel"]) == pytest.approx(2 / 3)  # 1 of 1 and 1 of 2 words
    assert f1("Brinnel", ["Pell Aston", "Brinnel"]) == 1.0
    assert f1("Yes, both of them", ["yes"]) == 0.0
    assert f1("I do not know.", ["I do not know."]) == 0.0
    assert exact("The Brack!", ["brack"])
    assert not exact("No answer was found within the budget.", ["no"])


def test_cost_of_pass_by_hand(bench):
    cells = {
        "a | 1/9 | m": {"input_tokens": 1000, "output_tokens": 100, "calls": 2, "em": 0.5},
        "b | 1/9 | m": {"input_tokens": 3000, "output_tokens": 300, "calls": 0, "em": 0.0},
    }
    result = {"choice": {"sets": ["a", "b"], "budgets": ["1/9"], "methods": ["m"]}, "cells": cells}
    table = bench.cost.cost_table(result, bench.cost.Prices(1.0, 10.0, 3.0))
    # (0.001 + 0.001 + 0.006) + (0.003 + 0.003) for half a right answer
    assert table.splitlines()[-1] == "| m | 28.00 |"


def test_the_bootstrap_pairs_questions(bench):
    scores = {"a": np.array([0.0, 1.0, 0.5]), "b": np.array([1.0, 0.0])}
    better = {name: values + 0.25 for name, values in scores.items()}
    gap = bench.bootstrap.difference(better, scores)
    assert (gap.mean, gap.low, gap.high) == pytest.approx((0.25, 0.25, 0.25))
    assert bench.bootstrap.estimate(scores).mean == pytest.approx(0.5)  # sets weigh the same: (0.5 + 0.5) / 2
    again = bench.bootstrap.difference_to_best(scores, {"x": scores, "y": better})
    assert (again.mean, again.high) == pytest.approx((-0.25, -0.25))


def test_the_logistic_fit_by_hand(bench):
    x = np.array([[1.0, 0.0]] * 4 + [[1.0, 1.0]] * 4)
    y = np.array([0.25] * 4 + [0.5] * 4)
    bias, weight = bench.tune._logistic(x, y, np.ones(8), ridge=1e-9)
    assert bias == pytest.approx(np.log(1 / 3), abs=1e-6)  # sigmoid(log(1/3)) = 1/4
    assert bias + weight == pytest.approx(0.0, abs=1e-6)  # sigmoid(0) = 1/2


def test_shares_by_hop_have_one_success_and_one_failure_more(bench):
    counts = {(0, True): 7, (0, False): 1, (1, False): 2}
    shares = bench.tune._shares(bench.tune.Counter(counts))
    assert shares == (0.8, 0.25, 0.5)  # 8 of 10, 1 of 4, 1 of 2


def test_the_finalizer_repairs_form_only_where_its_class_was_counted(bench, world):
    question = bench.data.Question("x", "Was Oda Brinnel born in Tarnholm?", "", ("yes",), (), (), ())
    said = "Yes, as one passage says"
    row = {"id": "x", "answer": said, "f1": 0.0, "abstained": False, "searches": [["Oda Brinnel", 2]]}
    on = bench.finalizing.repair([row], [question], world.pool, {"yes_no": (100, 90, 0)})
    off = bench.finalizing.repair([row], [question], world.pool, {"yes_no": (19, 19, 0)})
    assert (on.after, on.changed, on.fixed, on.broken) == (1.0, 1, 1, 0)
    assert (off.after, off.changed) == (0.0, 0)
    assert bench.finalizing.count([row], [question], world.pool)["yes_no"] == (1, 1, 0)


@pytest.mark.parametrize("budget", ["1/100", "3/500"])
def test_every_method_keeps_its_budget_and_repeats_itself(bench, world, budget):
    calls, tokens = map(int, budget.split("/"))
    for method in (*bench.methods.METHODS, *bench.methods.ABLATIONS):
        rows = rows_of(bench, world, method, budget)
        assert [text for row in rows for text in bench.auditor.audit(row, calls, tokens)] == []
        assert rows == rows_of(bench, world, method, budget)


def test_luck_does_not_depend_on_the_other_questions(bench, world):
    backwards = bench.cells.Bench.of("musique", world.questions[::-1], world.pool)
    for method in ("VOI", "guarded FunctionAgent", "spend-all"):
        assert rows_of(bench, world, method) == rows_of(bench, backwards, method)[::-1]


def test_abstentions_by_hand(bench):
    def row(abstained, all_gold, f1=0.0):
        return {"abstained": abstained, "all_gold": all_gold, "f1": f1}

    rows = [row(True, False), row(True, True), row(False, True, 1.0), row(False, False, 0.5), row(False, False)]
    found = bench.abstentions.silences({bench.cells.Cell("a", "1/100", "VOI", seed): rows for seed in (0, 1)})
    one = found["a", "1/100", "VOI"]
    assert (one.runs, one.coverage, one.answer_precision) == (10, 0.6, 0.5)  # 1.5 over 3 answers
    assert (one.precision, one.recall) == (0.5, pytest.approx(1 / 3))  # one of 2 silent, one of 3 without all gold
    assert "| 1/100 | VOI | 0.60 | 0.500 | 4 | 0.500 | 0.333 |" in bench.abstentions.abstention_table(found, "a")
    silent = bench.abstentions.silences({bench.cells.Cell("a", "1/100", "VOI", 0): [row(True, False)]})
    assert "| 0.00 | - | 1 | 1.000 | 1.000 |" in bench.abstentions.abstention_table(silent, "a")


def test_one_pool_holds_the_passages_of_all_sets_and_has_a_place_of_its_own(bench, folder, tmp_path):
    apart = bench.grid.Plan(folder, "eval", 2, {"controller": {}, "knobs": {}})
    joined = bench.grid.Plan(folder, "eval", 2, {"controller": {}, "knobs": {}}, one_pool=True)
    assert joined.hash == apart.hash
    assert joined.folder(tmp_path) != apart.folder(tmp_path)
    pools = [bench.grid.bench_of(joined, name).pool for name in bench.data.SETS]
    assert pools[0] is pools[1] is pools[2]
    sizes = [len(bench.grid.bench_of(plan, "musique").pool.by_id) for plan in (apart, joined)]
    assert sizes == [2 * len(FILMS), 2 * len(FILMS) + 1]  # 2wiki has a distractor more


class Ignorant:
    """A brain that knows neither gold nor answers."""

    def __init__(self, bench, text):
        self.noise, self._plan = bench.noise.default_noise(), bench.brain.Plan
        self.question = SimpleNamespace(text=text)

    def plan(self, read, **options):
        return self._plan(query=f"query {len(read)}")

    def answer(self, read):
        return "something"

    def rate(self, read):
        return 0.5

    def num_tokens(self, mean, channel, slot):
        return round(mean)


def test_methods_run_on_questions_without_gold(bench, world):
    text = "Where was the director of the film Salt Road born?"
    for name, method in {**bench.methods.METHODS, **bench.methods.ABLATIONS}.items():
        llm = bench.model.SimulatedLLM(brains={text: Ignorant(bench, text)}, by_line=world.lines)
        retriever = bench.pool.PoolRetriever(world.pool, 5)
        setting = bench.methods.Setting(Budget.parse("3/500"), retriever, llm, 0, ControllerConfig(), KNOBS)

        async def run(method=method, setting=setting):
            return await method(setting)(text)

        assert asyncio.run(run()).answer == "something", name


def test_agent_and_engine_decide_alike(bench, world):
    """The comparison runs the query engine; the agent takes the same steps."""

    def made(cls, question):
        brain = bench.brain.Brain(question, bench.noise.default_noise(), 0, ["x"])
        llm = bench.model.SimulatedLLM(brains={question.text: brain}, by_line=world.lines)
        retriever = bench.pool.PoolRetriever(world.pool, 5)
        return cls.from_defaults(retriever=retriever, llm=llm, budget="3/500"), retriever, llm

    for question in world.questions[:4]:
        agent, agent_log, agent_llm = made(BudgetedSearchAgent, question)
        engine, engine_log, engine_llm = made(BudgetedSearchQueryEngine, question)
        assert str(agent.run_sync(question.text)) == str(engine.query(question.text))
        assert agent_log.log == engine_log.log
        assert [(call.kind, call.output_tokens) for call in agent_llm.calls] == [
            (call.kind, call.output_tokens) for call in engine_llm.calls
        ]


def test_the_commands_run(folder, tmp_path):
    def run(*arguments):
        command = [sys.executable, str(FOLDER), *arguments, "--data", str(folder), "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    quick = ("simulate", "--quick", "--processes", "1", "--sets", "hotpotqa", "--methods", "VOI", "spend-all")
    assert "4 cells, 0 of them done" in run(*quick, "--budgets", "2/300", "--dry-run")
    done = run(*quick, "--budgets", "2/300")
    assert "0 audit failures in 32 runs" in done
    assert "0 cells came out differently" in done
    assert "4 cells, 4 of them done" in run(*quick, "--budgets", "2/300", "--dry-run")
    assert "| 2/300 | spend-all |" in run("abstentions", "--quick", "--sets", "hotpotqa")
    assert "0 audit failures in 32 runs" in run(*quick, "--budgets", "2/300", "--one-pool")
    assert "| 2wiki | gold queries in sequence |" in run("headroom", "--sets", "2wiki")
