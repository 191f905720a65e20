"""Reserve, settle, release: rules L1 to L10 with numbers worked out by hand."""

import copy
import sys
import threading

import pytest

from gainful.budget import Budget, Charge, Cost, Ledger, LedgerSnapshot, PriceTable, Refusal, Reservation, Usage
from gainful.errors import ConfigError, InputError

LLM = {"llm_calls": 1}


def reserved(ledger, cost, purpose="step", now=None):
    reservation = ledger.reserve(cost, purpose, now)
    assert isinstance(reservation, Reservation), reservation
    return reservation


def refused(ledger, cost, purpose="step", now=None):
    refusal = ledger.reserve(cost, purpose, now)
    assert isinstance(refusal, Refusal), refusal
    return refusal


def restored(ledger):
    return Ledger.restore(LedgerSnapshot.model_validate_json(ledger.snapshot().model_dump_json()))


def test_a_reservation_is_all_or_nothing():
    ledger = Ledger(Budget(tool_calls=1, output_tokens=300))
    before = ledger.snapshot()
    refusal = refused(ledger, Cost(tool_calls=2, output_tokens=10))
    assert (refusal.resource, refusal.limit, refusal.used, refusal.asked) == ("tool_calls", 1, 0, 2)
    assert ledger.snapshot() == before


@pytest.mark.parametrize(
    ("tokens", "held"),
    # min(K, max(24, ceil(0.15 K)))
    [(0, 0), (10, 10), (100, 24), (160, 24), (161, 25), (300, 45), (500, 75)],
)
def test_tokens_held_for_the_answer(tokens, held):
    assert Ledger(Budget(output_tokens=tokens)).held == {"output_tokens": held}


def test_the_reserve_covers_every_limited_axis():
    budget = Budget(output_tokens=100, llm_calls=3, seconds=10, input_tokens=1000, money=1, tool_calls=2)
    held = Ledger(budget, prices=PriceTable(output=1), host_steps=5).held
    # one call, one step, 20 % of the time, 15 % of input tokens and money
    assert held == {
        "output_tokens": 24,
        "llm_calls": 1,
        "seconds": 2_000_000,
        "input_tokens": 150,
        "money": 150_000,
        "host_steps": 1,
    }


def test_money_held_is_at_least_the_price_of_the_tokens_held():
    held = Ledger(Budget(output_tokens=100, money=0.000_100), prices=PriceTable(output=2)).held
    assert held["money"] == 48  # 24 tokens at 2 millionths each, more than 15 % of 100 millionths


def test_only_the_answer_draws_on_the_reserve():
    ledger = Ledger(Budget(output_tokens=100))
    assert refused(ledger, Cost(output_tokens=77)).used == 24
    reserved(ledger, Cost(output_tokens=76))
    refused(ledger, Cost(output_tokens=1))
    refused(ledger, Cost(output_tokens=25), "answer")
    reserved(ledger, Cost(output_tokens=24), "answer")


def test_a_step_must_leave_the_reserve_on_axes_it_does_not_touch():
    ledger = Ledger(Budget(tool_calls=5, output_tokens=100))
    step = reserved(ledger, Cost(output_tokens=70))
    ledger.settle(step.id, Usage(output_tokens=80))
    # 80 + 24 > 100: a search would be followed by an answer that no longer has its reserve
    assert refused(ledger, Cost.of_tool("search")).resource == "output_tokens"


def test_known_usage_returns_the_rest_and_unknown_usage_nothing():
    ledger = Ledger(Budget(output_tokens=100))
    first, second = reserved(ledger, Cost(output_tokens=30)), reserved(ledger, Cost(output_tokens=40))
    assert ledger.settle(first.id, Usage(output_tokens=12)) == Charge(amounts={"output_tokens": 12}, source="reported")
    assert ledger.settle(second.id).source == "full_reservation"
    assert ledger.left() == {"output_tokens": 100 - 12 - 40}


def test_partly_known_usage_charges_the_unknown_part_in_full():
    ledger = Ledger(Budget(output_tokens=100, input_tokens=1000))
    step = reserved(ledger, Cost(output_tokens=30, input_tokens=500))
    charge = ledger.settle(step.id, Usage(output_tokens=5))
    assert charge.amounts == {"output_tokens": 5, "input_tokens": 500}
    assert charge.source == "full_reservation"


def test_settling_twice_raises():
    ledger = Ledger(Budget(output_tokens=100))
    step = reserved(ledger, Cost(output_tokens=30))
    ledger.settle(step.id)
    with pytest.raises(InputError, match="before"):
        ledger.settle(step.id)
    with pytest.raises(InputError, match="before"):
        ledger.release(step.id)
    with pytest.raises(InputError, match="not of this ledger"):
        ledger.settle(99)


def test_a_call_that_never_started_is_released_in_full():
    ledger = Ledger(Budget(tool_calls=1))
    ledger.release(reserved(ledger, Cost.of_tool("search")).id)
    reserved(ledger, Cost.of_tool("search"))


def test_a_started_call_costs_one_whatever_is_reported_and_retries_cost_more():
    ledger = Ledger(Budget(tool_calls=5, per_tool={"web": 3}))
    ledger.settle(reserved(ledger, Cost.of_tool("web")).id, Usage(tool_calls=0))
    assert ledger.left() == {"tool_calls": 4, "tool:web": 2}
    charge = ledger.settle(reserved(ledger, Cost.of_tool("web")).id, Usage(tool_calls=2))
    assert ledger.left() == {"tool_calls": 2, "tool:web": 0}
    assert {overrun.resource for overrun in charge.overruns} == {"tool_calls", "tool:web"}
    assert not ledger.audit_ok
    refused(ledger, Cost.of_tool("web"))
    reserved(ledger, Cost.of_tool("other"))


def test_parallel_calls_cost_one_each():
    ledger = Ledger(Budget(tool_calls=3))
    assert refused(ledger, Cost(tool_calls=4)).asked == 4
    for _ in range(3):
        reserved(ledger, Cost.of_tool("a"))
    refused(ledger, Cost.of_tool("a"))


def test_an_overrun_is_charged_recorded_and_fails_the_audit():
    ledger = Ledger(Budget(output_tokens=100))
    step = reserved(ledger, Cost(output_tokens=42, **LLM))
    [overrun] = ledger.settle(step.id, Usage(output_tokens=66)).overruns
    assert (overrun.reserved, overrun.reported) == (42, 66)
    assert not ledger.audit_ok
    refused(ledger, Cost(output_tokens=16))  # 66 + 16 + 24 held > 100
    assert ledger.room("answer") == {"output_tokens": 34}


def test_after_an_overrun_beyond_the_limit_not_even_the_answer_fits():
    ledger = Ledger(Budget(output_tokens=100))
    ledger.settle(reserved(ledger, Cost(output_tokens=42)).id, Usage(output_tokens=500))
    assert ledger.room("answer") == {"output_tokens": 0}
    refused(ledger, Cost(output_tokens=1), "answer")


def test_tokens_that_were_not_reserved_are_an_overrun():
    ledger = Ledger(Budget(output_tokens=100, tool_calls=2))
    charge = ledger.settle(reserved(ledger, Cost.of_tool("agent")).id, Usage(output_tokens=7))
    assert charge.amounts["output_tokens"] == 7
    assert not ledger.audit_ok


def test_a_wrong_estimate_of_the_prompt_fails_the_audit_only_beyond_the_limit():
    ledger = Ledger(Budget(input_tokens=1000))
    ledger.settle(reserved(ledger, Cost(input_tokens=100)).id, Usage(input_tokens=120))
    assert ledger.audit_ok
    assert len(ledger.overruns) == 1
    ledger.settle(reserved(ledger, Cost(input_tokens=100)).id, Usage(input_tokens=881))
    assert not ledger.audit_ok


def test_money_is_reserved_at_the_caps_and_charged_at_the_report():
    prices = PriceTable(input=1, output=10, per_tool={"web": 0.001})
    ledger = Ledger(Budget(money=0.01), prices=prices)  # 10,000 millionths, 1,500 held
    step = reserved(ledger, Cost(input_tokens=1000, output_tokens=50))  # 1,000 + 500
    assert ledger.left() == {"money": 8500}
    ledger.settle(step.id, Usage(input_tokens=900, output_tokens=20))  # 900 + 200
    assert ledger.left() == {"money": 8900}
    ledger.settle(reserved(ledger, Cost.of_tool("web")).id)
    assert ledger.left() == {"money": 7900}
    ledger.settle(reserved(ledger, Cost(output_tokens=100)).id, Usage(money=0.0007))
    assert ledger.left() == {"money": 7200}
    refused(ledger, Cost(output_tokens=571))  # 5,710 + 1,500 > 7,200


def test_money_without_prices_is_refused():
    with pytest.raises(ConfigError, match="prices"):
        Ledger(Budget(money=1))


def test_nothing_starts_after_the_deadline():
    ledger = Ledger(Budget(seconds=10), now=100.0)
    assert ledger.room("step", 103.0) == {"seconds": 5.0}  # 10 - 3 - 20 % for the answer
    reserved(ledger, Cost(seconds=5), now=103.0)
    reserved(ledger, Cost(seconds=5), now=103.0)  # time runs for both at once
    assert (ledger.usage()[0].reserved, ledger.usage()[0].left) == (5.0, 2.0)
    assert refused(ledger, Cost(seconds=5), now=104.0).resource == "seconds"
    reserved(ledger, Cost(seconds=4), "answer", now=106.0)
    refused(ledger, Cost(), now=108.5)
    refused(ledger, Cost(), "answer", now=110.0)
    assert ledger.late_seconds == 0.0
    ledger.read_clock(111.5)
    assert ledger.late_seconds == 1.5


def test_a_clock_that_jumps_back_stands_still():
    ledger = Ledger(Budget(seconds=10), now=100.0)
    assert ledger.read_clock(104.0) == 4.0
    assert ledger.read_clock(50.0) == 4.0
    assert ledger.read_clock(51.0) == 5.0
    with pytest.raises(InputError, match="finite"):
        ledger.read_clock(float("nan"))


def test_waiting_for_a_human_is_not_charged():
    ledger = Ledger(Budget(seconds=10), now=0.0)
    ledger.stop_clock(2.0)
    assert ledger.read_clock(500.0) == 2.0
    ledger.start_clock(1000.0)
    assert ledger.read_clock(1001.0) == 3.0


def test_the_steps_of_the_host_are_one_more_limit():
    ledger = Ledger(Budget(output_tokens=100), host_steps=2)
    reserved(ledger, Cost(host_steps=1))
    assert refused(ledger, Cost(host_steps=1)).resource == "host_steps"
    reserved(ledger, Cost(host_steps=1, output_tokens=24), "answer")


def test_a_grant_raises_limits_and_is_recorded():
    ledger = Ledger(Budget(tool_calls=0), now=0.0)
    refused(ledger, Cost.of_tool("search"))
    ledger.grant(Cost(tool_calls=2, output_tokens=50), "user said yes", now=3.0)
    assert ledger.limits == {"tool_calls": 2}
    assert ledger.grants[0].amounts == {"tool_calls": 2}
    assert ledger.grants[0].elapsed == 3_000_000
    reserved(ledger, Cost.of_tool("search"))


def test_a_ledger_survives_json():
    ledger = Ledger(Budget(seconds=10, money=1, tool_calls=3), now=5.0, prices=PriceTable(output=1), host_steps=9)
    ledger.settle(reserved(ledger, Cost.of_tool("a"), now=6.0).id)
    ledger.grant(Cost(tool_calls=1), "why not")
    again = restored(ledger)
    assert again == ledger
    assert again.read_clock(1000.0) == 1.0  # a reading of another process means nothing
    assert again.read_clock(1002.0) == 3.0


def test_restoring_charges_what_was_open_and_a_late_report_lowers_nothing():
    ledger = Ledger(Budget(output_tokens=100, tool_calls=1))
    step = reserved(ledger, Cost(output_tokens=30, **LLM))
    again = restored(ledger)
    assert again.left() == ledger.left() == {"tool_calls": 1, "output_tokens": 70}
    assert again.open_reservations == ()
    assert again.settle(step.id, Usage(output_tokens=3)).source == "full_reservation"
    assert again.left()["output_tokens"] == 70
    with pytest.raises(InputError):
        again.settle(step.id)


def test_a_late_report_of_an_overrun_still_counts():
    ledger = Ledger(Budget(output_tokens=100))
    step = reserved(ledger, Cost(output_tokens=30))
    again = restored(ledger)
    again.settle(step.id, Usage(output_tokens=50))
    assert again.left() == {"output_tokens": 50}
    assert not again.audit_ok


def test_a_copy_has_its_own_accounts():
    ledger = Ledger(Budget(tool_calls=1))
    other = copy.deepcopy(ledger)
    reserved(other, Cost.of_tool("a"))
    assert ledger.left() == {"tool_calls": 1}


def test_threads_together_get_exactly_the_limit():
    ledger = Ledger(Budget(tool_calls=1000))
    given, barrier = [], threading.Barrier(8)

    def take():
        barrier.wait()
        for _ in range(250):
            outcome = ledger.reserve(Cost.of_tool("a"), "tool")
            if isinstance(outcome, Reservation):
                ledger.settle(outcome.id)
                given.append(outcome.id)

    threads = [threading.Thread(target=take) for _ in range(8)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads really meet
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert len(given) == len(set(given)) == 1000
