"""What a host's own loop may do next, by hand: of 300 output tokens 45 are held for the answer."""

from gainful.budget import ANSWER, Budget, Cost, Ledger, Usage
from gainful.budget.host_loop import STEP, TOOL, next_step, tool_cost


def plan(ledger, tools=("search",), free=(), own_cap=None, input_tokens=0):
    return next_step(ledger, 0.0, tools=tools, free=free, own_cap=own_cap, input_tokens=input_tokens)


def spend(ledger, cost, purpose, **used):
    reservation = ledger.reserve(cost, purpose, 0.0)
    ledger.settle(reservation.id, Usage(**used), 0.0)


def ledger(text="2/300", **options):
    return Ledger(Budget.parse(text), now=0.0, **options)


def test_an_ordinary_step_leaves_the_answers_share_alone():
    step = plan(ledger())
    assert (step.purpose, step.cap, step.final, step.why) == (STEP, 255, False, None)
    assert step.tools == {"search"}
    assert plan(ledger(), own_cap=200).cap == 200


def test_without_tools_the_step_is_the_answer_and_may_use_everything():
    step = plan(ledger(), tools=())
    assert (step.purpose, step.cap, step.why) == (ANSWER, 300, None)


def test_spent_tool_calls_leave_the_answer_and_say_why():
    accounts = ledger()
    for _ in range(2):
        spend(accounts, tool_cost(accounts, "search", 0.0), TOOL, tool_calls=1)
    step = plan(accounts)
    assert step.final
    assert step.why.resource == "tool_calls"
    assert step.cap == 300


def test_free_tools_alone_never_run_out_but_keep_nothing_going_either():
    only_free = plan(ledger("0/300"), tools=("handoff",), free=("handoff",))
    assert (only_free.purpose, only_free.tools) == (STEP, {"handoff"})
    beside_a_spent_one = plan(ledger("0/300"), tools=("search", "handoff"), free=("handoff",))
    assert beside_a_spent_one.final


def test_a_step_whose_cap_would_only_cut_it_is_not_taken():
    accounts = ledger()
    spend(accounts, Cost(llm_calls=1, output_tokens=245), STEP, output_tokens=245)
    # 55 left, 45 of them held: 10 are below the least step of 16
    step = plan(accounts)
    assert (step.purpose, step.cap, step.why.resource) == (ANSWER, 55, "output_tokens")


def test_the_last_step_of_a_host_is_kept_for_the_answer():
    step = plan(ledger(host_steps=1))
    assert step.final
    assert step.why.resource == "host_steps"


def test_with_nothing_left_no_model_may_be_called():
    step = plan(ledger("2/0"))
    assert step.final
    assert step.cost is None
    assert step.cap is None
