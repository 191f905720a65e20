"""The core alone: a search run under a hard budget, and the names of the catalogue, estimators where torch is."""

from importlib.util import find_spec

from gainful.budget import Usage
from gainful.budget.actions import Observation, Passage
from gainful.budget.controller import Controller
from gainful.catalog import catalog

controller = Controller()
state = controller.start("Who directed Solaris?", "2/100", 0.0)
found, kind, seconds = Passage(title="Solaris", text="Solaris is a film by Andrei Tarkovsky.", score=4.0), "", 0.0
while kind != "ANSWER":
    action = controller.begin(state, controller.decide(state, seconds), seconds)
    kind, seconds = action.kind, seconds + 0.1
    passages = (found,) if kind == "SEARCH" else ()
    usage = None if kind == "SEARCH" else Usage(output_tokens=9)
    controller.observe(state, action, Observation(passages=passages, text="Tarkovsky", usage=usage), seconds)
report = controller.finish(state, seconds)
assert report.audit_ok, report
assert report.spent["tool_calls"] <= 2
assert ("agpo" in catalog().advantages) == (find_spec("torch") is not None)
assert "memory" in catalog().stores
print(f"{report.answer}; spent {dict(report.spent)}")
