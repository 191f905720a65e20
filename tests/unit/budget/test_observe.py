"""What observations change, and the line protocol of a proposal."""

import pytest

from gainful.budget import ControllerConfig, Usage
from gainful.budget.actions import Move, Observation, Passage
from gainful.budget.citations import split_citations
from gainful.budget.controller import Controller
from gainful.budget.proposal import Proposal, parse_critic_score, parse_proposal


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("NEXT: who is Ada", Proposal(next_query="who is Ada")),
        ("FOUND: Ada\nNEXT: when was Ada born", Proposal("Ada", "when was Ada born")),
        ("found: Ada\ndone: 1815", Proposal("Ada", done="1815")),
        ('Sure!\n**NEXT:** "who"\nNEXT: what', Proposal(next_query="who")),
        ("NEXT: who\nDONE: 1815", Proposal(next_query="who")),
        ("DONE: 1815\nNEXT: who", Proposal(done="1815")),
        ("FOUND: none\nNEXT: who", Proposal(next_query="who")),
        ("NEXT:\nDONE: x", Proposal(done="x")),
        ("I would search for it", Proposal()),
        ("", Proposal()),
    ],
)
def test_the_line_protocol(text, proposal):
    assert parse_proposal(text) == proposal


@pytest.mark.parametrize(
    ("text", "score"), [("70", 0.7), ("Score: 70/100", 0.7), ("3.5", 0.03), ("999", None), ("no", None)]
)
def test_critic_scores(text, score):
    assert parse_critic_score(text) == score


def test_citations_of_unknown_passages_are_dropped():
    text, cited = split_citations("4 April 1932 [2][9] in Russia [1, 2] [0].", ["a", "b"])
    assert text == "4 April 1932 in Russia."
    assert cited == ("b", "a")


def propose(driven, text, tokens=10):
    decision = driven.decide().model_copy(update={"kind": "DECOMPOSE", "move": Move(kind="DECOMPOSE")})
    driven.observe(driven.begin(decision), Observation(text=text, usage=Usage(output_tokens=tokens)))


def test_found_fills_a_slot_only_if_a_passage_holds_it(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film)
    propose(driven, "FOUND: Steven Soderbergh\nNEXT: who directed Solaris")
    assert [slot.status for slot in driven.state.slots] == ["open", "open"]
    propose(driven, "FOUND: Andrei Tarkovsky")
    assert driven.state.slots[1].status == "filled"
    assert driven.state.slots[1].value == "Andrei Tarkovsky"
    assert driven.state.slots[1].evidence_ids == (driven.state.evidence[0].id,)


def test_next_becomes_pending_unless_it_was_searched(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film)
    propose(driven, f"NEXT: {driven.state.question}")
    assert driven.state.pending is None
    propose(driven, "NEXT: birth date of Tarkovsky")
    assert driven.state.pending == "birth date of Tarkovsky"


def test_a_proposal_about_nothing_known_is_dropped_and_another_may_be_made(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film)
    propose(driven, "NEXT: Dolpa Airport")
    assert (driven.state.pending, len(driven.state.slots)) == (None, 1)
    assert "proposals" not in {note.name for note in driven.decide().guards}


def test_a_pending_question_that_finds_nothing_fails(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film)
    propose(driven, "NEXT: birth date of Tarkovsky")
    driven.step("SEARCH", film)
    assert driven.state.pending is None
    assert driven.state.slots[-1].status == "failed"
    assert driven.state.dry == 1


def test_done_adds_a_candidate_and_closes_slots_if_a_passage_holds_it(run, film, person):
    driven = run(budget="5/900")
    driven.step("SEARCH", film, person)
    propose(driven, "DONE: 5 May 1955")
    assert driven.state.claims_done
    assert driven.state.slots[0].status == "open"
    assert driven.state.candidates[0].support < 1
    propose(driven, "DONE: 4 April 1932")
    assert driven.state.candidates[1].support == 1
    assert driven.state.slots[0].status == "filled"
    propose(driven, "NEXT: something else")
    assert not driven.state.claims_done


def test_what_cannot_be_read_is_charged_and_damps_the_next_proposal(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film)
    before = driven.state.ledger.left()["output_tokens"]
    propose(driven, "Let me think about that.", tokens=48)
    assert driven.state.ledger.left()["output_tokens"] == before - 48
    assert (driven.state.num_proposals, driven.state.proposals_since_new) == (1, 1)
    assert len(driven.state.slots) == 1
    driven.step("SEARCH", Passage(text="news"))
    assert driven.state.proposals_since_new == 0


def test_only_an_ok_outcome_is_read(run, film):
    driven = run(budget="5/900")
    driven.step("SEARCH", film, outcome="error")
    assert driven.state.evidence == []
    assert driven.state.trace.steps[0].observation.passages == ()
    assert driven.state.ledger.left()["tool_calls"] == 4


def test_evidence_is_kept_once_and_up_to_a_limit(run, film, person):
    driven = run(controller=Controller(config=ControllerConfig(max_evidence=2)), budget="5/900")
    driven.step("SEARCH", film, film, person)
    assert [passage.rank for passage in driven.state.evidence] == [0, 2]
    driven.step("SEARCH", Passage(text="more"))
    assert len(driven.state.evidence) == 2
    assert (driven.state.num_dropped, driven.state.dry) == (1, 1)


def test_texts_are_cut_and_writable(run):
    driven = run(controller=Controller(config=ControllerConfig(max_text_chars=5)), question="abcdefgh", budget="5/900")
    assert driven.state.question == "abcde"
    driven.step("SEARCH", Passage(text="\ud800" * 9, title="t" * 9))
    assert driven.state.evidence[0].text == "?????"
    assert driven.state.evidence[0].title == "ttttt"


def test_the_answer_and_its_citations(run, film, person):
    driven = run(budget="1/300")
    driven.step("SEARCH", film, person)
    action = driven.step("ANSWER", text="4 April 1932 [2] [7]")
    report = driven.finish()
    assert report.answer == "4 April 1932"
    assert report.citations == (action.evidence_ids[1],)
