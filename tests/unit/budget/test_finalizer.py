"""Repairs of the form of an answer, and all the reasons to leave it."""

import pytest

from gainful.budget import ControllerConfig
from gainful.budget.controller import Controller
from gainful.budget.finalizer import CLASSES, Draft, RuleFinalizer, net_gain
from gainful.budget.memory import Evidence, Slot
from gainful.budget.question import read_question

ALL_ON = ControllerConfig(class_counts=dict.fromkeys(CLASSES, (100, 60, 0)))


def finalize(question, base, *texts, config=ALL_ON, slots=()):
    evidence = [
        Evidence(id=str(rank), title="", text=text, score=None, rank=rank, query=0, num_tokens=9)
        for rank, text in enumerate(texts)
    ]
    return RuleFinalizer().finalize(Draft(base, read_question(question, config), config, slots, evidence, ()))


YES_NO = ("Are Ada and Bob both poets?", "Yes, both of them are.", "Ada and Bob are poets.")
CHOICE = (
    "Which band plays faster songs, Abba or Blur?",
    "I believe it is Blur.",
    "Abba was formed in 1972. Blur in 1988.",
)
TYPED = ("In what year did the war end?", "The war ended in 1945.", "It ended in 1945.")
SPAN = ("Who directed Solaris?", "Tarkovsky", "It is by Andrei Tarkovsky.")


@pytest.mark.parametrize(
    ("case", "answer", "repair"),
    [
        (YES_NO, "yes", "yes_no"),
        (CHOICE, "Blur", "binary_choice"),
        (TYPED, "1945", "typed_slot"),
        (SPAN, "Andrei Tarkovsky", "span_completion"),
    ],
)
def test_the_four_repairs(case, answer, repair):
    finalized = finalize(*case)
    assert (finalized.answer, finalized.changed, finalized.repair) == (answer, True, repair)


@pytest.mark.parametrize("case", [YES_NO, CHOICE, TYPED, SPAN])
def test_a_class_is_off_until_it_was_counted(case):
    finalized = finalize(*case, config=ControllerConfig())
    assert (finalized.answer, finalized.changed) == (case[1], False)
    assert "too few" in finalized.reason
    assert finalized.repair


@pytest.mark.parametrize("case", [YES_NO, CHOICE, TYPED, SPAN])
def test_an_unresolved_bridge_leaves_the_answer(case):
    finalized = finalize(*case, slots=(Slot(text="who", proposed=True, status="failed"),))
    assert (finalized.answer, finalized.reason) == (case[1], "a bridge is unresolved")


@pytest.mark.parametrize(
    ("question", "base", "texts"),
    [
        ("Are both poets?", "Yes and no.", ()),
        ("Are both poets?", "Maybe yes.", ()),
        ("Are both poets?", "yes", ()),
        (CHOICE[0], "Abba and Blur.", (CHOICE[2],)),
        (CHOICE[0], "Blur", (CHOICE[2],)),
        (CHOICE[0], "I believe it is Blur.", ("Abba was formed in 1972.",)),  # nothing about the other
        (CHOICE[0], "I believe it is Blur.", ("Abba, and Blur too.",)),  # neither value is typed
        (TYPED[0], TYPED[1], ("It ended in 1945, and began in 1939.",)),  # a rival of the same type
        (TYPED[0], TYPED[1], ("It ended at last.",)),  # not verbatim in the last hop
        (TYPED[0], "From 1939 to 1945.", (TYPED[2],)),
        (TYPED[0], "1945", (TYPED[2],)),
        (SPAN[0], "Tarkovsky", ("Andrei Tarkovsky and Arseny Tarkovsky.",)),  # two completions
        (SPAN[0], "the director", ("It is by Andrei Tarkovsky.",)),
        ("What colour is it?", "It is 1945.", ("It is 1945.",)),  # no class
        ("", "", ()),
    ],
)
def test_when_in_doubt_the_answer_stays(question, base, texts):
    finalized = finalize(question, base, *texts)
    assert (finalized.answer, finalized.changed) == (base, False)


def test_only_the_last_hop_counts():
    evidence = [
        Evidence(id=str(hop), title="", text=text, score=None, rank=0, query=hop, num_tokens=9)
        for hop, text in enumerate(["It is by Andrei Tarkovsky.", "It won a prize."])
    ]
    draft = Draft("Tarkovsky", read_question(SPAN[0], ALL_ON), ALL_ON, (), evidence, ())
    assert not RuleFinalizer().finalize(draft).changed


def test_net_gain_by_hand():
    def gain(*counts):
        return net_gain("yes_no", ControllerConfig(class_counts={"yes_no": counts}))

    # G - 3 H with (count + 1) / (cases + 2)
    assert gain(98, 49, 1) == pytest.approx(50 / 100 - 3 * 2 / 100)
    assert gain(20, 0, 0) == pytest.approx(1 / 22 - 3 / 22)
    assert gain(19, 19, 0) is None


def test_a_class_that_breaks_too_much_stays_off():
    config = ControllerConfig(class_counts={"typed_slot": (98, 49, 20)})
    finalized = finalize(*TYPED, config=config)
    assert not finalized.changed
    assert finalized.net_gain < 0


def test_a_failing_finalizer_leaves_the_answer(run, film):
    class Failing:
        def finalize(self, draft):
            raise RuntimeError("no")

    driven = run(budget="1/300", controller=Controller(finalizer=Failing()))
    driven.step("SEARCH", film)
    driven.step("ANSWER", text="Tarkovsky")
    report = driven.finish()
    assert report.answer == "Tarkovsky"
    assert "RuntimeError" in report.warnings[0]


def test_the_report_says_what_the_finalizer_did(run, film):
    driven = run(question="Who directed Solaris?", budget="1/300", controller=Controller(config=ALL_ON))
    driven.step("SEARCH", film)
    driven.step("ANSWER", text="Tarkovsky")
    report = driven.finish()
    assert report.answer == report.finalized.answer == "Andrei Tarkovsky"
    assert report.finalized.net_gain == pytest.approx(61 / 102 - 3 / 102)
    assert report.trace.records[-1].finalizer == "span_completion replaced"
    assert report.trace.records[-1].base_answer == "Tarkovsky"
