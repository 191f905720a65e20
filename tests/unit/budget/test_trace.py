"""Records, replay, redaction, table and page."""

import json
import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError

from gainful.budget import ControllerConfig, PriceTable, Usage
from gainful.budget.actions import Observation, Passage
from gainful.budget.controller import Controller
from gainful.budget.replay import replay
from gainful.budget.table import decision_line, step_line
from gainful.budget.trace import Trace
from gainful.errors import InputError

EVIL = '<script>alert("1")</script> & "quotes" \x1b[31m'


@pytest.fixture
def report(run, film, person):
    driven = run(budget="2/300")
    driven.step("SEARCH", film)
    driven.now = 1.5
    driven.step("SEARCH", person, outcome="error")
    driven.step("ANSWER", text="4 April 1932 [1]", tokens=8)
    return driven.finish()


def test_one_line_per_decision_then_one_finish(report):
    lines = [json.loads(line) for line in report.trace.to_jsonl().splitlines()]
    assert [line["record"] for line in lines] == ["start", "step", "step", "step", "finish"]
    assert {line["run_id"] for line in lines} == {report.run_id}
    assert all(line["schema"] == 1 for line in lines)
    wanted = "step t action query k features s options rho lambda guards forced reserved used usage ledger new_evidence"
    assert set(f"{wanted} outcome config_hash".split()) <= set(lines[1])
    assert {"delta", "psi", "pi", "u", "d", "r"} <= set(lines[1]["options"][0])
    assert {"answer", "exit_reason", "finalizer", "audit_ok"} <= set(lines[-1])
    assert lines[2]["t"] == 1_500_000
    assert lines[2]["outcome"] == "error"


def test_a_trace_survives_a_file_and_replays(report):
    read = Trace.from_jsonl(report.trace.to_jsonl())
    assert read == report.trace
    found = replay(read)
    assert found.matches
    assert found.same_versions
    assert found.num_records == 5


def test_a_replay_finds_what_was_changed(report):
    lines = report.trace.to_jsonl().splitlines()
    lines[1] = lines[1].replace('"s": 0.1192', '"s": 0.2192')
    [difference] = replay(Trace.from_jsonl("\n".join(lines))).differences
    assert (difference.record, difference.field) == (1, "s")


def test_a_replay_needs_the_constants_of_the_run(report):
    other = Controller(config=ControllerConfig(dry_decay=0.4))
    assert not replay(report.trace, other).matches


def test_other_usage_is_another_run(report):
    lines = report.trace.to_jsonl().splitlines()
    lines[3] = lines[3].replace('"usage": {"output_tokens": 8', '"usage": {"output_tokens": 9')
    assert {difference.field for difference in replay(Trace.from_jsonl("\n".join(lines))).differences} >= {"used"}


def test_a_redacted_trace_holds_no_text_and_does_not_replay(report):
    text = report.trace.to_jsonl(redact=True)
    for secret in ("Solaris", "Tarkovsky", "April"):
        assert secret in report.trace.to_jsonl()
        assert secret not in text
    redacted = Trace.from_jsonl(text)
    assert redacted.is_redacted
    assert redacted.steps[0].s == report.trace.steps[0].s
    with pytest.raises(InputError, match="redacted"):
        replay(redacted)
    with pytest.raises(InputError, match="start record"):
        replay(Trace())


def test_a_line_of_another_schema_is_refused():
    with pytest.raises(ValidationError):
        Trace.from_jsonl('{"record": "step", "unknown": 1}')


def test_a_run_of_named_models_replays(run, film):
    for value_model in ("constant", "random", "critic"):
        driven = run(controller=Controller(value_model=value_model, cost_model="priced", prices=PriceTable(input=1)))
        while not driven.state.done:
            passages = (film,) if driven.state.num_searches == 0 else ()
            driven.observe(driven.begin(), Observation(text="50", passages=passages, usage=Usage(output_tokens=3)))
        assert replay(driven.finish().trace).matches


def test_the_line_of_a_step(report):
    first, second, third = map(step_line, report.trace.steps)
    assert first.startswith('[0] SEARCH "When was the director')
    assert "u=+0.54 d=0.50 r=1.09 s=0.12 rho=0.00 | calls 1/2 tok 0/300 | guard: compositional: noth" in first
    assert second.startswith("[1] SEARCH error")
    assert third.startswith("[2] ANSWER s=")
    assert max(map(len, (first, second, third))) <= 140


def test_the_line_of_a_decision_is_that_of_its_step(run, film):
    driven = run(budget="2/300")
    line = decision_line(driven.decide(), driven.state.ledger.usage())
    driven.step("SEARCH", film)
    assert line == step_line(driven.state.trace.steps[0]).replace("calls 1/2", "calls 0/2")
    assert len(line) <= 140


def test_the_table_ends_with_accounts_and_answer(report):
    *_, end, answer = report.table().splitlines()
    assert end == "budget:tool_calls (answer), audit ok"
    assert answer == "answer: 4 April 1932"
    assert re.search(r"output_tokens +limit +300 +spent +8 +left +292", report.table())


class Page(HTMLParser):
    """Open and close tags must match; collects tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.tags, self.attributes = [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect", "br"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def test_the_page_stands_alone(report, tmp_path):
    path = tmp_path / "run.html"
    page = report.to_html(str(path))
    assert path.read_text() == page
    seen = Page(page)
    assert not {"script", "link", "img", "iframe", "object"} & set(seen.tags)
    assert not {"href", "src", "onclick", "onload"} & {name for name, _ in seen.attributes}
    assert "http" not in page
    assert "prefers-color-scheme:dark" in page
    for shown in ("4 April 1932", "2 of 2 spent", "✓ audit ok", "S search", "<title>[0] SEARCH", "Cited"):
        assert shown in page
    assert Page(report._repr_html_()).tags[0] == "section"


def test_hostile_text_stays_text(run):
    driven = run(question=EVIL, budget="1/300")
    driven.step("SEARCH", Passage(title=EVIL, text=EVIL))
    driven.step("ANSWER", text=EVIL)
    report = driven.finish()
    page = report.to_html()
    assert "script" not in Page(page).tags
    assert "\x1b" not in page
    assert "\x1b" not in report.table()
    assert "&lt;script&gt;" in page


def test_an_audit_failure_is_said_in_words(run, film):
    driven = run(budget="2/300")
    driven.step("SEARCH", film)
    driven.step("SEARCH")
    driven.step("ANSWER", text="x", tokens=900)
    report = driven.finish()
    assert "✗ audit failed" in report.to_html()
    assert "audit FAILED: answer output_tokens 900 > 300" in report.table()


def test_a_long_run_gives_a_small_page(run):
    driven = run(budget="30/9000")
    for number in range(20):
        driven.state.pending = f"question number {number} about thing {number * 17}"
        driven.state.refresh()
        action = driven.begin()
        found = tuple(Passage(title=f"t{number}{k}", text="word " * 1500) for k in range(5))
        driven.observe(action, Observation(passages=found))
    report = driven.finish()
    assert len(report.trace.steps) == 20
    assert len(report.to_html().encode()) < 200_000
