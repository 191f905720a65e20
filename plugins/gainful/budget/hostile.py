"""A host that misbehaves in every way it can, for tests and soak runs: the limits must hold all the same.

It answers actions with endless, empty, cut or malformed output, errors, refusals, hung calls, duplicates, wrong or no
usage, and a clock that jumps. What it does is drawn from a `random.Random` that the caller seeds.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gainful.budget.actions import Action, Answer, Fallback, LLMRequest, Move, Observation, Outcome, Passage, Search
from gainful.budget.controller import Controller
from gainful.budget.report import BudgetReport
from gainful.budget.state import SearchState
from gainful.budget.types import Budget, Usage
from gainful.budget.value import StateView, ValueEstimate
from gainful.errors import InputError

__all__ = ["Hostility", "HostileValue", "Ran", "broken_limits", "drive", "random_budget", "random_question", "seeded"]

_OK: Outcome = "ok"
_OUTCOMES: tuple[Outcome, ...] = (*(_OK for _ in range(9)), "error", "refused", "timeout", "cancelled")
_NAMES = ("Ada Lovelace", "Solaris", "Stanisław Lem", "Kraków", "The Nile", "Ωmega", "Bruce Wayne", "1984")
_WORDS = ("born", "directed", "river", "of", "the", "in", "1972", "4 April 1932", "<b>", "\x00", "\ud800", "film")
_QUESTIONS = (
    "Who directed {0}?",
    "When was the director of the film {0} born?",
    "Which is older, {0} or {1}?",
    "Are {0} and {1} from the same country?",
    "How many people live in the city where {0} was born and {1} died?",
    "{0}",
    "",
)
_REPLIES = (
    "NEXT: who directed {0}",
    "FOUND: {0}\nNEXT: {0} date of birth",
    "FOUND: 4 April 1932\nDONE: {0}",
    "DONE: yes",
    "NEXT:",
    "next: {1}\nDONE: {0}",
    "I think we should search",
    "",
    "FOUND: [[[",
    "[1][2][99999] {0} [0]",
    "Yes, both are. [1]",
    "100",
)


@dataclass(frozen=True)
class Hostility:
    """How the host may misbehave."""

    overruns: bool = True
    """Report more output than the cap: a server that ignores it."""
    duplicates: bool = True
    """Observe actions twice."""
    snapshots: bool = True
    """Store and restore the state between steps, and in the middle of one."""
    clock: bool = True
    """Jump back, forward and beyond the timeout."""
    always_stored: bool = False
    """Store and restore the state after every step."""
    cancels: bool = True
    """Finish in the middle of the run."""


@dataclass
class Ran:
    """One finished run and what the host did in it, counted by the host itself, not by the ledger."""

    state: SearchState
    report: BudgetReport
    tool_calls: int = 0
    llm_calls: int = 0
    host_steps: int = 0
    """Searches and the answer, which a host's own loop counts."""
    output_tokens: int = 0
    """As reported; the whole cap where nothing credible was."""
    calls_by_tool: dict[str, int] = field(default_factory=dict)
    searched: list[str] = field(default_factory=list)
    overran: bool = False
    restored: bool = False


class HostileValue:
    """A value model that returns nonsense or fails; it may spoil the choice, not the limits."""

    name = "hostile"

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def request(self, view: StateView) -> LLMRequest | None:
        """Now and then a request, or an error."""
        kind = self._draw.random()
        if kind < 0.1:
            raise RuntimeError("hostile")
        return LLMRequest(prompt="rate", max_output_tokens=10**6) if kind < 0.5 else None

    def value(self, view: StateView, move: Move, features: object) -> ValueEstimate:
        """Anything from -1e9 to 1e9, nan, infinity, or an error."""
        kind = self._draw.random()
        if kind < 0.1:
            raise KeyError("hostile")
        if kind < 0.2:
            return ValueEstimate.model_construct(delta=self._draw.choice((float("nan"), float("inf"))), psi=0.0)
        return ValueEstimate(delta=self._draw.uniform(-1e9, 1e9) if kind < 0.5 else self._draw.uniform(-1, 1))


def seeded(seed: int) -> random.Random:
    """The draws of one run."""
    return random.Random(seed)  # noqa: S311 - nothing here is a secret


def broken_limits(ran: Ran) -> list[str]:
    """Exact limits that the run went over by the host's own count. Output tokens count only if caps were obeyed."""
    budget = ran.state.ledger.budget
    counts = [("tool_calls", ran.tool_calls, budget.tool_calls), ("llm_calls", ran.llm_calls, budget.llm_calls)]
    counts.append(("host_steps", ran.host_steps, ran.state.ledger.limits.get("host_steps")))
    counts += [(f"tool:{name}", ran.calls_by_tool.get(name, 0), limit) for name, limit in budget.per_tool.items()]
    if not ran.overran:
        counts.append(("output_tokens", ran.output_tokens, budget.output_tokens))
    return [f"{axis}: {count} > {limit}" for axis, count, limit in counts if limit is not None and count > limit]


def random_question(draw: random.Random) -> str:
    """A question of any form."""
    return draw.choice(_QUESTIONS).format(*draw.sample(_NAMES, 2))


def random_budget(draw: random.Random) -> Budget:
    """Any combination of limits, zeros included."""
    limits = {
        "tool_calls": draw.choice((0, 1, 2, 3, 5, 8, 30)),
        "output_tokens": draw.choice((0, 10, 100, 200, 300, 500, 2000)),
        "llm_calls": draw.choice((0, 1, 2, 4, 8, 30)),
        "seconds": draw.choice((0.0, 0.5, 10.0, 60.0, 1e6)),
        "input_tokens": draw.choice((0, 100, 5000, 50000, 10**6)),
        "money": draw.choice((0.0, 0.0005, 0.01, 1.0)),
        "per_tool": {"web": draw.choice((0, 1, 2, 9))},
    }
    names = draw.sample(sorted(limits), draw.choice((1, 1, 2, 2, 2, 3, 3, 7)))
    return Budget.model_validate({name: limits[name] for name in names})


def drive(
    controller: Controller,
    question: str,
    budget: Budget,
    draw: random.Random,
    hostility: Hostility,
    check: Callable[[SearchState], None],
) -> Ran:
    """Run to the end; `check` sees the state after every call into the controller."""
    now = draw.uniform(-1e6, 1e6)
    host_steps = draw.choice((None, None, None, draw.randint(0, 9)))
    state = controller.start(
        question, budget, now, tools=draw.choice((("web",), ("web", "notes"))), host_steps=host_steps
    )
    ran = Ran(state=state, report=None)  # type: ignore[arg-type]
    while not ran.state.done:
        if hostility.cancels and draw.random() < 0.03:
            break
        decision = controller.decide(ran.state, now)
        now = _tick(now, draw, hostility)
        action = controller.begin(ran.state, decision, now)
        check(ran.state)
        if hostility.snapshots and draw.random() < 0.05:
            ran.state, ran.restored = _restored(ran.state), True
            check(ran.state)
        if hostility.cancels and draw.random() < 0.03:
            break
        observation = _observation(action, draw, hostility)
        _count(ran, action, observation)
        now = _tick(now, draw, hostility)
        controller.observe(ran.state, action, observation, now)
        check(ran.state)
        if hostility.duplicates and draw.random() < 0.1:
            _observe_again(controller, ran.state, action, observation, now)
        if hostility.always_stored or (hostility.snapshots and draw.random() < 0.1):
            ran.state = _restored(ran.state)
    ran.report = controller.finish(ran.state, draw.choice((now, float("nan"))) if hostility.clock else now)
    check(ran.state)
    return ran


def _tick(now: float, draw: random.Random, hostility: Hostility) -> float:
    if hostility.clock and draw.random() < 0.05:
        return now + draw.choice((-1e5, -1.0, 1e3, 1e9))
    return now + draw.uniform(0, 2)


def _restored(state: SearchState) -> SearchState:
    return SearchState.model_validate_json(state.model_dump_json())


def _count(ran: Ran, action: Action, observation: Observation) -> None:
    """What an auditor sees from outside: calls that left the host."""
    if isinstance(action, Fallback) or not observation.started:
        return
    ran.host_steps += isinstance(action, Search | Answer)
    if isinstance(action, Search):
        ran.tool_calls += 1
        ran.calls_by_tool[action.tool] = ran.calls_by_tool.get(action.tool, 0) + 1
        ran.searched.append(action.query)
        return
    ran.llm_calls += 1
    cap = action.caps.max_output_tokens or 0
    reported = observation.usage.output_tokens if observation.usage else None
    ran.output_tokens += cap if reported is None else reported
    ran.overran = ran.overran or (reported or 0) > cap


def _observation(action: Action, draw: random.Random, hostility: Hostility) -> Observation:
    if isinstance(action, Fallback):
        return Observation(outcome=draw.choice(_OUTCOMES), text="ignored")
    text = draw.choice(_REPLIES).format(*draw.sample(_NAMES, 2)) * draw.choice((1, 1, 1, 500))
    return Observation(
        outcome=draw.choice(_OUTCOMES),
        passages=tuple(_passage(draw) for _ in range(draw.choice((0, 1, 3, 8)))) if isinstance(action, Search) else (),
        text=text,
        usage=_usage(action, draw, hostility),
        started=draw.random() > 0.05,
    )


def _passage(draw: random.Random) -> Passage:
    words = draw.choices((*_NAMES, *_WORDS), k=draw.choice((0, 5, 30)))
    score = draw.choice((None, 1.0, -3.5, 0.0, float("nan")))
    return Passage(title=draw.choice((*_NAMES, "")), text=" ".join(words), score=score)


def _usage(action: Action, draw: random.Random, hostility: Hostility) -> Usage | None:
    """Right, missing, negative, fractional or absurd; within the cap unless overruns are allowed."""
    if isinstance(action, Fallback | Search) or draw.random() < 0.3:
        return None
    cap = action.caps.max_output_tokens or 0
    honest = draw.randint(0, cap)
    wrong = draw.choice((honest, -5, None, float("nan"), "12", 10**30))
    tokens = draw.choice((honest, wrong))
    if hostility.overruns and draw.random() < 0.1:
        tokens = cap + draw.choice((1, 100, 10**6))
    prompt = draw.choice((None, draw.randint(0, action.caps.max_input_tokens or 0)))
    return Usage.model_validate({"output_tokens": tokens, "input_tokens": prompt})


def _observe_again(
    controller: Controller, state: SearchState, action: Action, observation: Observation, now: float
) -> None:
    """A second observation of one action must be refused and change nothing."""
    before = state.model_dump_json()
    try:
        controller.observe(state, action, observation, now)
    except InputError:
        if state.model_dump_json() != before:
            raise AssertionError("a refused observation changed the state") from None
        return
    raise AssertionError("a second observation of one action was accepted")
