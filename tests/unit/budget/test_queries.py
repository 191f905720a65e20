"""What is searched without asking a model: names in a passage, and queries that ask for all that is open."""

import pytest

from gainful.budget import ControllerConfig
from gainful.budget.actions import Passage
from gainful.budget.bridges import bridge_names, is_anchor
from gainful.budget.names import names
from gainful.budget.queries import is_grounded
from gainful.budget.question import read_question

CONFIG = ControllerConfig()
BOTH = "Which film has the director born first, Salt Road or Elm Row?"
SALT = Passage(title="Salt Road (film)", text="Salt Road is a drama with Pell Aston. It was directed by Corin Vash.")
ELM = Passage(title="Elm Row", text="Elm Row was directed by Mira Tolk in May 1950.")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is by Corin Vash. It was late.", ["Corin Vash"]),
        ("S. Sylvan Simon died in Los Angeles, California. He", ["S. Sylvan Simon", "Los Angeles", "California"]),
        ("Isabel Moctezuma's father and Dr. No", ["Isabel Moctezuma", "Dr. No"]),
        ("J.K. Rowling of the U.S. Army", ["J.K. Rowling of the U.S. Army"]),
        ("\u00c9ric Rohmer (born 1920)", ["\u00c9ric Rohmer"]),
        ("The 7 Habits of Teens", ["The 7 Habits of Teens"]),
        ("nothing here, The", []),
        ("", []),
    ],
)
def test_names(text, found):
    assert names(text) == found


def test_a_run_of_capitals_is_cut():
    assert [len(name.split()) for name in names("Ab " * 25)] == [10, 5]


def test_the_passage_that_the_question_names_is_an_anchor():
    question = read_question(BOTH, CONFIG)
    assert is_anchor("Salt Road (film)", question)
    assert not is_anchor("Salt", read_question("Which road has pepper?", CONFIG))
    assert not is_anchor("", question)


def test_the_name_beside_the_relation_comes_first():
    question = read_question(BOTH, CONFIG)
    # directed shares five letters with director: two words from Corin Vash, far from Pell Aston
    assert bridge_names(SALT.title, SALT.text, question, CONFIG) == ("Corin Vash", "Pell Aston")
    # neither the question's own names nor a month
    assert bridge_names(ELM.title, ELM.text, question, CONFIG) == ("Mira Tolk",)


def test_a_free_query_asks_for_the_bridges_of_all_anchors(run):
    driven = run(question=BOTH, budget="5/500")
    assert [move.purpose for move in driven.state.digest.searches] == ["question"]
    driven.step("SEARCH", SALT, ELM)
    [move] = [move for move in driven.state.digest.searches if move.purpose == "bridge"]
    # "director", "born", "first" stand in no passage
    assert move.query == "Corin Vash Pell Aston Mira Tolk director born first"


def test_a_proposed_query_takes_along_what_else_is_open(run):
    driven = run(question=BOTH, budget="5/500")
    driven.step("SEARCH", SALT, ELM)
    driven.state.pending = "Mira Tolk date of birth"
    driven.state.refresh()
    move = driven.state.digest.searches[0]
    assert (move.purpose, move.query) == (
        "pending",
        "Mira Tolk date of birth Mira Tolk Corin Vash director born first",
    )


def test_what_was_read_or_searched_is_no_bridge(run):
    driven = run(question=BOTH, budget="5/500")
    driven.step("SEARCH", SALT, ELM, Passage(title="Corin Vash", text="Corin Vash was born in Brack."))
    [move] = [move for move in driven.state.digest.searches if move.purpose == "bridge"]
    assert move.query == "Pell Aston Mira Tolk director first"
    driven.step("SEARCH")
    assert [move.query for move in driven.state.digest.searches if move.purpose == "bridge"] == ["director first"]


@pytest.mark.parametrize(
    ("query", "grounded"),
    [
        ("birth date of Tarkovsky", True),
        ("date of birth of Andrei Tarkovsky", True),
        ("director born", True),
        ("Dolpa Airport", False),
        ("weather tomorrow", False),
    ],
)
def test_a_query_is_grounded_in_question_or_evidence(run, film, query, grounded):
    driven = run(budget="5/500")
    driven.step("SEARCH", film)
    assert is_grounded(query, driven.state) is grounded
