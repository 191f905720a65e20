"""One cache before every judge, in memory and in a file, for threads of control that share it."""

import asyncio
import sqlite3
import threading

import pytest

from gainful.catalog import build_catalog
from gainful.errors import ConfigError, IntegrityError, PluginError, StoreError, UnknownNameError
from gainful.infogain import (
    AnswerSample,
    JudgeOptions,
    Missing,
    SharedJudge,
    aread_belief,
    make_judge,
    read_belief,
    read_options,
)
from gainful.infogain.assess import Inquiry, reading_of, run_all
from gainful.infogain.judges import Ask

GONE = Missing("judge_failed")
PAIRS = [("a", "b"), ("b", "a")]


def test_a_pair_is_asked_once_in_a_run(stub):
    inner = stub(lambda a, b: a < b)
    judge = SharedJudge(inner)
    assert judge.entail("q", [*PAIRS, PAIRS[0]]) == [1.0, 0.0, 1.0]
    assert judge.entail("q", PAIRS) == [1.0, 0.0]
    assert len(inner.asked) == judge.num_forwards == 2
    assert judge.num_cache_hits == 3


def test_another_question_is_another_pair(stub):
    inner = stub(lambda a, b: True)
    judge = SharedJudge(inner)
    judge.entail_many([Ask("q", "a", "b"), Ask("r", "a", "b")])
    assert inner.asked == [("q", "a", "b"), ("r", "a", "b")]


def test_a_missing_value_is_not_remembered(stub):
    values = iter([GONE, 1.0])
    judge = SharedJudge(stub(lambda a, b: next(values)))
    assert judge.entail("q", PAIRS[:1]) == [GONE]
    assert judge.entail("q", PAIRS[:1]) == [1.0]


def test_memory_is_bounded_and_drops_what_was_not_used_for_longest(stub):
    inner = stub(lambda a, b: True)
    judge = SharedJudge(inner, max_entries=2)
    for premise in ("a", "b", "a", "c", "a", "b"):
        judge.entail("q", [(premise, "x")])
    assert [premise for _, premise, _ in inner.asked] == ["a", "b", "c", "b"]


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan")])
def test_what_is_no_probability_is_refused(stub, bad):
    with pytest.raises(PluginError, match=r"judge 'stub': an entailment must be in \[0, 1\] or Missing"):
        SharedJudge(stub(lambda a, b: bad)).entail("q", PAIRS)


def test_a_judge_that_leaves_pairs_out_is_refused(stub):
    inner = stub(lambda a, b: True)
    inner.entail = lambda question, pairs: [1.0]
    with pytest.raises(PluginError, match="expected 2 values, one per pair, got 1"):
        SharedJudge(inner).entail("q", PAIRS)


def test_a_file_keeps_values_between_runs_and_holds_no_text(stub, tmp_path):
    path = tmp_path / "judgements.db"
    first = SharedJudge(stub(lambda a, b: 0.25), cache_path=str(path))
    first.entail("where?", [("secret answer", "b")])
    first.close()
    later = stub(lambda a, b: 1.0)
    second = SharedJudge(later, cache_path=str(path))
    assert second.entail("where?", [("secret answer", "b")]) == [0.25]
    second.close()
    assert later.asked == []
    assert b"secret" not in path.read_bytes()


def test_another_revision_does_not_read_the_values_of_this_one(stub, tmp_path):
    path = str(tmp_path / "judgements.db")
    judge = stub(lambda a, b: 0.25)
    SharedJudge(judge, cache_path=path).entail("q", PAIRS[:1])
    other = stub(lambda a, b: 0.75)
    other.revision = "2"
    assert SharedJudge(other, cache_path=path).entail("q", PAIRS[:1]) == [0.75]


def test_keys_do_not_run_into_each_other(stub, tmp_path):
    judge = SharedJudge(stub({("ab", "c"): 0.1, ("a", "bc"): 0.2}), cache_path=str(tmp_path / "j.db"), max_entries=1)
    for _ in range(2):
        assert judge.entail("q", [("ab", "c"), ("a", "bc")]) == [0.1, 0.2]


def test_a_file_that_is_no_database_is_refused(stub, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database, and long enough to be one\n" * 100)
    with pytest.raises(StoreError, match="expected a SQLite file"):
        SharedJudge(stub(lambda a, b: 1), cache_path=str(path))


@pytest.mark.parametrize("bad", [7.0, "text", b"\x80\x04"])
def test_a_file_with_impossible_values_is_refused(stub, tmp_path, bad):
    path = str(tmp_path / "j.db")
    SharedJudge(stub(lambda a, b: 1), cache_path=path).entail("q", PAIRS[:1])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE judgements SET value = ?", [bad])
    with pytest.raises(IntegrityError, match="must hold values in"):
        SharedJudge(stub(lambda a, b: 1), cache_path=path).entail("q", PAIRS[:1])


def samples(*texts):
    return [AnswerSample(text) for text in texts]


def test_what_runs_together_is_asked_together(stub):
    inner = stub(lambda a, b: False)
    batches = []

    def entail_many(asks):
        batches.append(list(asks))
        return [0.0] * len(asks)

    inner.entail_many = entail_many
    options = read_options(None, where="test")
    inquiries = [Inquiry(f"q{i}", reading_of(samples("x", "y"), ["gold"], options)) for i in range(5)]
    run_all(inquiries, SharedJudge(inner))
    # gold for both answers, no way back, then x => y: of all five questions at once
    assert [len(batch) for batch in batches] == [10, 5]


def test_the_shortcut_takes_equal_answers_for_equal_and_punctuation_for_nothing(stub):
    options = read_options(None, where="test")
    inner = stub(lambda a, b: False)
    found = read_belief(samples("Paris", "the paris!", "...", "?!"), SharedJudge(inner), "q", ["PARIS", "..."], options)
    assert found.gold_mass == 0.5
    assert found.belief.labels.count(found.belief.labels[0]) == 2
    assert len(found.belief.p) == 3
    assert not any("Paris" in ask and "the paris!" in ask for ask in inner.asked)


def test_asynchronous_readings_equal_the_others_and_share_batches(stub):
    options = read_options(None, where="test")
    judge = SharedJudge(stub(lambda a, b: a[0] == b[0]))
    drawn = [samples("x", "xx", "y"), samples("y", "z", "x"), samples("x", "", "xx")]

    async def together():
        return await asyncio.gather(*(aread_belief(one, judge, "q", ["xxx"], options) for one in drawn))

    found = asyncio.run(together())
    alone = [read_belief(one, SharedJudge(stub(lambda a, b: a[0] == b[0])), "q", ["xxx"], options) for one in drawn]
    assert [(r.gold_mass, r.belief.labels) for r in found] == [(r.gold_mass, r.belief.labels) for r in alone]
    asked = judge.judge.asked
    assert len(asked) == len(set(asked))


def test_what_comes_while_a_batch_is_running_goes_into_the_next_one_together(stub):
    judge, batches, queued = SharedJudge(stub(lambda a, b: True)), [], threading.Event()

    def entail_many(asks):
        batches.append(len(asks))
        queued.wait(5)
        return [1.0] * len(asks)

    judge.judge.entail_many = entail_many

    async def together():
        calls = [asyncio.create_task(judge.aentail("q", [("a", "x")]))]
        await asyncio.sleep(0)
        calls += [asyncio.create_task(judge.aentail("q", [(text, "x")])) for text in "bcd"]
        await asyncio.sleep(0)
        queued.set()
        return await asyncio.gather(*calls)

    assert asyncio.run(together()) == [[1.0]] * 4
    assert batches == [1, 3]


def test_a_judge_that_raises_raises_for_all_that_wait(stub):
    def fail(a, b):
        raise RuntimeError("broken")

    judge = SharedJudge(stub(fail))

    async def together():
        calls = [judge.aentail("q", [(text, "x")]) for text in "abc"]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [str(error) for error in asyncio.run(together())] == ["broken"] * 3


def test_one_caller_being_cancelled_does_not_take_the_others_down(stub):
    judge = SharedJudge(stub(lambda a, b: True))

    async def together():
        calls = [asyncio.create_task(judge.aentail("q", [(text, "x")])) for text in "abc"]
        await asyncio.sleep(0)
        calls[0].cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, *others = asyncio.run(together())
    assert isinstance(first, asyncio.CancelledError)
    assert others == [[1.0], [1.0]]


def test_judges_come_by_name():
    assert make_judge(JudgeOptions()).name == "normalized"
    containment = make_judge(JudgeOptions(type="containment", numbers=True))
    assert containment.entail("q", [("the city of Paris", "paris"), ("1,000 men", "1000")]) == [1.0, 0.0]
    with pytest.raises(UnknownNameError, match="unknown matcher 'normalised'; did you mean 'normalized'"):
        make_judge(JudgeOptions(type="normalised"))


@pytest.mark.parametrize(
    ("options", "needs"),
    [({"type": "nli"}, "judge.model"), ({"type": "openai", "model": "m"}, "judge.base_url")],
)
def test_a_judge_without_what_it_needs_is_refused_before_anything_is_loaded(options, needs):
    with pytest.raises(ConfigError, match=needs):
        make_judge(JudgeOptions(**options))


def test_built_in_matchers_are_registered_like_anybodys():
    found = build_catalog().matchers
    assert list(found)[:4] == ["normalized", "containment", "nli", "openai"]
    assert found["nli"].extra == "nli"
    assert all(spec.source for spec in found.values())
