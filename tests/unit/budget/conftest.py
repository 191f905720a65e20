"""Short ways to drive a run."""

import pytest

from gainful.budget import ControllerConfig, Usage
from gainful.budget.actions import Observation, Passage
from gainful.budget.controller import Controller

DIRECTOR = "When was the director of the film Solaris born?"
SINGLE = "Who directed Solaris?"
FILM = Passage(title="Solaris", text="Solaris is a film directed by Andrei Tarkovsky.", score=4.0)
HAND = ControllerConfig(
    shadow_price=0.15,
    min_utility=0.02,
    bridge_bonus=0.10,
    repeat_malus=0.10,
    support_bias=-2.0,
    support_weights=(1.6, 0.8, 0.8, 0.4, 1.2, 0.4),
    free_by_hop=(0.7, 0.5, 0.4),
    proposed_by_hop=(0.6, 0.25, 0.2),
    single_factor_below=0.3,
    two_factor_below=0.7,
    covered_from=0.6,
    max_proposals=4,
)
"""For figures by hand: tuned constants change, and here a search without a proposal is always worth more."""
PERSON = Passage(title="Andrei Tarkovsky", text="Andrei Tarkovsky was born on 4 April 1932.", score=3.0)


class Run:
    """One run whose clock stands still unless a test moves it."""

    def __init__(self, question=DIRECTOR, budget="3/500", controller=None, **start):
        self.controller = controller or Controller()
        changed = self.controller.config.model_dump(include=self.controller.config.model_fields_set)
        self.controller.config = HAND.model_copy(update=changed)
        self.now = 0.0
        self.state = self.controller.start(question, budget, self.now, **start)

    def decide(self):
        return self.controller.decide(self.state, self.now)

    def begin(self, decision=None):
        return self.controller.begin(self.state, decision or self.decide(), self.now)

    def observe(self, action, observation):
        self.controller.observe(self.state, action, observation, self.now)

    def step(self, kind, *passages, text="", tokens=10, **observation):
        """Decide, begin and observe one step, which must be of `kind`."""
        action = self.begin()
        assert action.kind == kind, self.decide_reason(action)
        usage = None if kind == "SEARCH" else Usage(output_tokens=tokens)
        self.observe(action, Observation(passages=passages, text=text, usage=usage, **observation))
        return action

    def decide_reason(self, action):
        decision = self.state.open.decision
        return f"{action} because {decision.reason}, {decision.options}, {decision.guards}"

    def finish(self, **options):
        return self.controller.finish(self.state, self.now, **options)


@pytest.fixture
def run():
    return Run


@pytest.fixture
def film():
    return FILM


@pytest.fixture
def person():
    return PERSON
