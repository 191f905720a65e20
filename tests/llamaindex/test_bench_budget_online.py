"""The budget benchmark with a real model: real HTTP to a small server, a cap that holds, a store that pays once."""

import importlib
import importlib.util
import json
import re
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from gainful.budget import PriceTable
from gainful.errors import IntegrityError, StoreError

BENCH = Path(__file__).parents[2] / "recipes" / "bench"
FOLDERS = (BENCH / "budget_online", BENCH / "budget")
KEY = "sk-a-key-of-nobody-0123456789"
FILMS = {
    "Velmar Crossing": "Oda Brinnel",
    "Harrow Gate": "Pell Aston",
    "Salt Road": "Mira Tolk",
    "Elm Row": "Bram Ockley",
}
TOWNS = {"Oda Brinnel": "Tarnholm", "Pell Aston": "Ilvane", "Mira Tolk": "Kesh", "Bram Ockley": "Orrast"}
TEXTS = [(film, f"{film} is a film directed by {who}.") for film, who in FILMS.items()]
TEXTS += [(who, f"{who} grew up at {town}.") for who, town in TOWNS.items()]
TEXTS += [(f"Hamlet {n}", f"The hamlet number {n} lies on the river Quell and has a mill.") for n in range(12)]
PRICES = "[fake]\ninput = 1.0\noutput = 10.0\n"


@pytest.fixture(scope="module")
def online():
    """The modules of the recipe, which is a folder and no package; other tests do not see them."""
    names = [file.stem for folder in FOLDERS for file in folder.glob("*.py") if file.stem not in ("__main__", "page")]
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    path = list(sys.path)
    sys.path[:0] = [str(folder) for folder in FOLDERS]
    spec = importlib.util.spec_from_file_location("budget_online_main", FOLDERS[0] / "__main__.py")
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)
    yield SimpleNamespace(main=command.main, **{name: importlib.import_module(name) for name in names})
    sys.path[:] = path
    for name in names:
        sys.modules.pop(name, None)
    sys.modules.update(kept)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four two-hop questions in the form of MuSiQue."""
    folder = tmp_path_factory.mktemp("multihop")
    paragraphs = [{"title": title, "text": text} for title, text in TEXTS]
    records = []
    for number, (film, who) in enumerate(FILMS.items()):
        steps = [
            {"question": f"{film} >> director", "answer": who, "paragraph_support_idx": number},
            {"question": "#1 >> place of birth", "answer": TOWNS[who], "paragraph_support_idx": len(FILMS) + number},
        ]
        records.append(
            {
                "id": f"q{number}",
                "type": None,
                "question": f"Where was the director of the film {film} born?",
                "answers": [TOWNS[who]],
                "paragraphs": paragraphs,
                "gold": {"titles": [film, who], "sub_questions": steps},
            }
        )
    (folder / "musique_eval.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    return folder


@pytest.fixture
def run(online, data, tmp_path, monkeypatch, capsys):
    """`run("--yes", server=...)` or `run("replay")` -> (exit code, what was printed)."""
    (tmp_path / "prices.toml").write_text(PRICES)

    def command(*arguments, server=None, base=None, model="fake", priced=True, key=KEY):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        where = ["--data", str(data), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store.jsonl")]
        if server is not None:
            where += ["--api-base", base or server.api_base, "--model", model, "--sets", "musique"]
            where += ["--prices", str(tmp_path / "prices.toml")] if priced else []
        code = online.main([*arguments, *where])
        return code, capsys.readouterr().out

    return command


def text_of(body):
    return "\n".join(message.get("content") or "" for message in body["messages"])


@pytest.fixture
def reader(wire):
    """A model that reads: it searches for what is missing, and answers once the town stands in its prompt."""

    def reply(body):
        text = text_of(body)
        film = next(film for film in FILMS if f"the film {film} born?" in text)
        who = FILMS[film]
        query = f"{who} grew up" if f"directed by {who}." in text else f"{film} film directed by"
        town = TOWNS[who] if f"{who} grew up at" in text else None
        if "Action Input:" in text:
            if town:
                return wire(text=f"Thought: I can answer without using any more tools.\nAnswer: {town}")
            return wire(text=f'Thought: I look.\nAction: search\nAction Input: {{"query": "{query}"}}')
        if body.get("tools"):
            return wire(text=town) if town else wire(tool_calls=[("search", json.dumps({"query": query}))])
        if text.startswith("You plan searches"):
            return wire(text=f"NEXT: {query}")
        if text.startswith("Rate from"):
            return wire(text="70")
        return wire(text=f"{town} [1]" if town else "I do not know.")

    return reply


def tables(printed):
    return [line for line in printed.splitlines() if line.startswith("|") or "; fake, 2" in line]


def price_of(server_requests, store):
    """Recounted from the store's own responses, not from what was charged."""
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    usages = [line["response"]["usage"] for line in lines if line["kind"] == "answered"]
    assert len(usages) == len(server_requests)
    return sum(usage["prompt_tokens"] * 1.0 + usage["completion_tokens"] * 10.0 for usage in usages) / 1e6


def test_every_method_runs_and_replay_prints_the_same_tables_without_a_server(online, run, serve, reader, tmp_path):
    server = serve(reader)
    every = list(online.running.ONLINE)
    code, live = run("--yes", "--max-usd", "5", "--budgets", "2/300", "3/500", "--methods", *every, server=server)
    assert code == 0, live
    assert "0 audit failures in" in live
    assert "fake, 20" in live
    result = json.loads((tmp_path / "out/result.json").read_text())
    for method in ("VOI", "VOI, agent", "guarded FunctionAgent", "guarded ReActAgent", "spend-all"):
        assert result["cells"][f"musique | 3/500 | {method}"]["f1"] == 1.0, method
    assert result["cost"] == pytest.approx(price_of(server.requests, tmp_path / "store.jsonl"))
    sent = len(server.requests)
    assert set(server.caps) <= set(range(1, 501))
    assert all(request["temperature"] == 0 for request in server.requests)

    code, again = run("replay")
    assert code == 0, again
    assert tables(again) == tables(live)
    assert len(tables(again)) > 2 * len(every)
    assert json.loads((tmp_path / "out/result.json").read_text()) == result
    assert len(server.requests) == sent


def test_equal_requests_are_paid_once_and_a_second_run_sends_none(run, serve, reader):
    server = serve(reader)
    arguments = ("--yes", "--max-usd", "5", "--budgets", "2/300", "--methods", "VOI", "VOI, agent")
    run(*arguments, server=server)
    bodies = [json.dumps(body, sort_keys=True) for body in server.requests]
    assert len(set(bodies)) == len(bodies)
    code, printed = run(*arguments, server=server)
    assert (code, len(server.requests)) == (0, len(bodies))
    assert ", 0 sent now" in printed


def test_cells_at_once_send_and_score_the_same(run, serve, reader, tmp_path):
    arguments = ("--yes", "--max-usd", "5", "--budgets", "2/300", "--methods", "VOI", "spend-all", "fixed-k")
    one, other = serve(reader), serve(reader)
    run(*arguments, server=one)
    first = (tmp_path / "out/result.json").read_text()
    (tmp_path / "store.jsonl").unlink()
    run(*arguments, "--at-once", "3", server=other)
    second = (tmp_path / "out/result.json").read_text()
    plain = [{json.dumps(body, sort_keys=True) for body in server.requests} for server in (one, other)]
    assert plain[0] == plain[1]
    scores = [{name: one["f1"] for name, one in json.loads(text)["cells"].items()} for text in (first, second)]
    assert scores[0] == scores[1]
    assert len(other.requests) == len(plain[1])


@pytest.mark.parametrize("at_once", ["1", "2"])
def test_the_cap_holds_to_the_cent_and_a_higher_one_goes_on(run, serve, reader, tmp_path, at_once):
    server, store = serve(reader), tmp_path / "store.jsonl"
    arguments = ("--yes", "--budgets", "2/300", "--methods", "VOI", "fixed-k", "--at-once", at_once)
    cap = 0.006
    code, printed = run(*arguments, "--max-usd", str(cap), server=server)
    assert code == 2
    spent, asked = re.search(r"cap of 0.006 is reached: ([\d.]+) spent, .* may cost ([\d.]+);", printed).groups()
    assert float(spent) + float(asked) > cap  # not a request too early
    assert "|" not in printed
    done = len(server.requests)
    assert done > 0
    assert price_of(server.requests, store) <= cap
    # the same cap again: what was spent still counts
    code, printed = run(*arguments, "--max-usd", str(cap), server=server)
    assert code == 2
    assert price_of(server.requests, store) <= cap
    assert at_once == "2" or len(server.requests) == done  # in another order, a smaller request may still fit
    code, printed = run(*arguments, "--max-usd", "1", server=server)
    assert code == 0, printed
    bodies = [json.dumps(body, sort_keys=True) for body in server.requests]
    assert len(set(bodies)) == len(bodies) > done
    code, printed = run(*arguments, "--max-usd", "0.00001", server=server)
    assert "raise --max-usd" in printed


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("at_once", ["1", "3"])
def test_an_interrupt_ends_the_asking_and_another_run_goes_on(run, serve, reader, at_once):
    def interrupts(body):
        if len(server.requests) == 3:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return wire_after(body)
        return reader(body)

    def wire_after(body):
        said = reader(body)
        said.hang_seconds = 0.5  # the interrupt comes before the answer
        return said

    server = serve(interrupts)
    arguments = ("--yes", "--budgets", "1/100", "2/300", "--max-usd", "1", "--at-once", at_once)
    arguments += ("--methods", "VOI", "spend-all", "fixed-k")
    code, printed = run(*arguments, server=server)
    assert code == 130
    assert "stopped; all answers are kept" in printed
    assert 3 <= len(server.requests) <= 3 + int(at_once)
    code, printed = run(*arguments, server=server)
    assert code == 0, printed
    bodies = [json.dumps(body, sort_keys=True) for body in server.requests]
    assert len(set(bodies)) == len(bodies)


def test_an_unfinished_store_shows_its_whole_cells_only(run, serve, reader):
    server = serve(reader)
    run("--yes", "--budgets", "2/300", "--methods", "VOI", "spend-all", "--max-usd", "0.006", server=server)
    code, printed = run("replay")
    assert code == 1
    assert "cells are not complete and in no table" in printed
    assert "mean of the sets" not in printed


ASK = ("--yes", "--max-usd", "1", "--budgets", "1/100", "--methods", "VOI")


@pytest.mark.parametrize(
    ("arguments", "how", "said"),
    [
        (ASK, {"priced": False}, "expected --prices FILE, found none"),
        (ASK, {"key": ""}, "expected the key in the environment variable OPENAI_API_KEY"),
        (ASK, {"model": "other"}, "no table ['other']; there are: fake"),
        (ASK, {"base": "http://me:secret@host/v1"}, "without user, password and query"),
        (ASK, {"base": "https://host/v1?key=secret"}, "without user, password and query"),
        ((*ASK, "--max-usd", "0"), {}, "expected a cap of more than 0, got --max-usd 0"),
        ((*ASK, "--methods", "VIO"), {}, "unknown name 'VIO'; did you mean 'VOI'"),
        ((*ASK, "--budgets", "cheap"), {}, "unknown level 'cheap'"),
        (("run", *ASK[1:]), {}, "nobody is there to confirm"),
    ],
)
def test_what_is_refused_before_anything_is_sent(run, serve, reader, tmp_path, arguments, how, said):
    server = serve(reader)
    code, printed = run(*arguments, server=server, **how)
    assert code == 2
    assert said in printed
    assert "secret" not in printed
    assert server.requests == []
    assert not (tmp_path / "store.jsonl").exists()


def test_a_dry_run_estimates_and_sends_nothing(run, serve, reader, tmp_path):
    server = serve(reader)
    code, printed = run(*ASK, "--dry-run", server=server, key="")
    # one search and one answer for each of four questions, at most 100 tokens each
    assert code == 0
    assert "fake: 4 runs, about 8 requests" in printed
    assert "at most 400 output tokens" in printed
    assert "never more than 1" in printed
    assert server.requests == []
    assert not (tmp_path / "store.jsonl").exists()


def test_a_local_model_needs_neither_prices_nor_a_key(run, serve, reader):
    server = serve(reader)
    code, printed = run("--local", *ASK, server=server, priced=False, key="")
    assert (code, len(server.requests)) == (0, 4)
    assert "cost" not in printed


def test_the_key_is_sent_and_stands_nowhere_else(run, serve, reader, wire, tmp_path):
    def gossip(body):
        said = reader(body)
        return wire(text=f"{said.text} {KEY}") if said.text else said

    server = serve(gossip)
    code, printed = run(*ASK, server=server)
    assert code == 0
    assert set(server.keys) == {KEY}
    refusing = serve(wire(status=401, text=f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}"))
    (tmp_path / "store.jsonl").rename(tmp_path / "first.jsonl")
    code, said = run(*ASK, server=refusing)
    assert code == 2
    assert "the server answered 401; is the key in the environment right?" in said
    assert len(refusing.requests) == 1
    files = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 4
    for text in (*files, printed, said):
        assert KEY not in text
        assert KEY[:8] not in text
        assert KEY[-4:] not in text


def test_a_half_written_last_line_is_paid_again_and_nothing_else(run, serve, reader, tmp_path):
    server, store = serve(reader), tmp_path / "store.jsonl"
    _, whole = run(*ASK, server=server)
    first = len(server.requests)
    store.write_bytes(store.read_bytes()[:-40])  # the last response; its request stands before it
    code, printed = run(*ASK, server=server)
    assert (code, len(server.requests)) == (0, first + 1)
    assert server.requests[-1] in server.requests[:first]
    untimed = [[line.rsplit("|", 2)[0] for line in tables(text) if "VOI" in line] for text in (printed, whole)]
    assert untimed[0] == untimed[1]
    # the lost response is charged as what was reserved for it, beside the new one
    cost = json.loads((tmp_path / "out/result.json").read_text())["cost"]
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    ends = {line["attempt"]: line["micros"] for line in lines if line["kind"] in ("answered", "failed")}
    asked = {line["attempt"]: line["micros"] for line in lines if line["kind"] == "asked"}
    assert len(asked) == len(ends) + 1
    assert round(cost * 1e6) == sum({**asked, **ends}.values())


@pytest.mark.parametrize("damage", ["a letter", "no JSON", "a missing field", "an end without a beginning"])
def test_a_damaged_line_is_named(run, serve, reader, tmp_path, damage):
    server, store = serve(reader), tmp_path / "store.jsonl"
    run(*ASK, server=server)
    lines = store.read_text().splitlines()
    number = next(place for place, line in enumerate(lines) if '"answered"' in line)
    plain = json.loads(lines[number])
    lines[number] = {
        "a letter": lines[number].replace("Tarnholm", "Tarnhelm").replace("assistant", "assistent"),
        "no JSON": "{",
        "a missing field": json.dumps({name: value for name, value in plain.items() if name != "micros"}),
        "an end without a beginning": lines[number],
    }[damage]
    if damage == "an end without a beginning":
        del lines[number - 1]
    store.write_text("\n".join(lines) + "\n")
    named = f"line {number + (damage != 'an end without a beginning')}: "
    sent = len(server.requests)
    for command in (ASK, ("replay",)):
        code, printed = run(*command, server=server if command is ASK else None)
        assert code == 2
        assert named in printed
        assert "restore the file, or remove it and pay again" in printed
    assert len(server.requests) == sent


def test_a_store_is_of_one_model_and_of_one_process(online, run, serve, reader, tmp_path):
    server = serve(reader)
    run(*ASK, server=server)
    code, printed = run("--local", *ASK, server=server, model="other", priced=False)
    assert code == 2
    assert "it holds answers of fake" in printed
    store, head = online.store.Store, online.records.Head(model="fake", api_base=server.api_base)
    with store(tmp_path / "store.jsonl", head), pytest.raises(StoreError, match="another process has it"):
        store(tmp_path / "store.jsonl", head)
    with pytest.raises(StoreError, match="expected a file of requests and responses, found none"):
        store(tmp_path / "nothing.jsonl")


def test_a_line_without_an_end_is_bounded(online, tmp_path, monkeypatch):
    monkeypatch.setattr(online.store, "MAX_LINE_BYTES", 1000)
    (tmp_path / "store.jsonl").write_bytes(b"x" * 2000)
    with pytest.raises(IntegrityError, match="expected at most 1,000 bytes"):
        online.store.Store(tmp_path / "store.jsonl")


BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 7, "temperature": 0}


@pytest.fixture
def exchange(online, tmp_path):
    """`exchange(server)`: an exchange whose pauses are recorded instead of made."""
    opened = []

    def make(server, max_usd=1.0):
        store = online.store.Store(tmp_path / "one.jsonl", online.records.Head(model="fake", api_base=server.api_base))
        client = httpx.Client()
        opened.extend((store, client))
        pauses = []
        till = online.till.Till(PriceTable(input=1, output=10), max_usd, store.spent_micros)
        made = online.exchange.Exchange(store, till, client, pause=pauses.append)
        return made, pauses

    yield make
    for one in opened:
        one.close()


def request_to(server, **changes):
    return httpx.Request("POST", f"{server.api_base}/chat/completions", json={**BODY, **changes})


def test_a_busy_server_is_asked_again_and_what_broke_in_it_may_have_cost(exchange, serve, wire):
    server = serve(wire(status=429), wire(status=503), wire(text="hello you"))
    made, pauses = exchange(server)
    kept = made.answer(request_to(server))
    assert kept.response["choices"][0]["message"]["content"] == "hello you"
    assert pauses == [1.0, 4.0]
    assert kept.micros == 1 * 1 + 2 * 10  # one word in, two out
    # the 429 is free, the 503 costs what was reserved: bytes and template at 1, the cap of 7 at 10
    reserved = len(request_to(server).read()) + 1024 + 70
    assert made.store.spent_micros == kept.micros + reserved


def test_a_server_that_never_answers_ends_the_run_without_a_score(online, run, serve, wire, monkeypatch):
    monkeypatch.setattr(online.exchange, "PAUSES_SECONDS", (0.0, 0.0))
    server = serve(wire(status=500))
    code, printed = run(*ASK, server=server)
    assert code == 2
    assert "the server answered 500" in printed
    assert "|" not in printed
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", ["disconnects", "is no completion"])
def test_an_unknown_end_costs_the_whole_reservation(online, exchange, serve, wire, reply):
    server = serve(wire(text="x"))
    made, _ = exchange(server)

    def handle(request):
        if reply == "disconnects":
            raise httpx.ReadError("gone")
        return httpx.Response(200, text="[]")

    made.client = httpx.Client(transport=httpx.MockTransport(handle))
    with pytest.raises(online.exchange.ServerError):
        made.answer(request_to(server))
    attempts = 4 if reply == "disconnects" else 1
    assert made.store.spent_micros == attempts * (len(request_to(server).read()) + 1024 + 70)


def test_a_response_without_usage_costs_its_reservation(exchange, serve, wire):
    server = serve(wire(text="hello", usage=False))
    made, _ = exchange(server)
    assert made.answer(request_to(server)).micros == len(request_to(server).read()) + 1024 + 70


def test_a_request_waits_for_what_others_hold_before_it_is_refused(exchange, serve, wire):
    server = serve(wire(text="hello", hang_seconds=0.3))
    one = (len(request_to(server).read()) + 1024 + 70) / 1e6
    made, _ = exchange(server, max_usd=1.5 * one)  # room for one at a time, and for what two really cost
    requests = [request_to(server, messages=[{"role": "user", "content": word}]) for word in ("heron", "hello")]
    kept = []
    threads = [
        threading.Thread(target=lambda request=request: kept.append(made.answer(request))) for request in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 2


def test_two_threads_with_one_request_pay_once(exchange, serve, wire):
    server = serve(wire(text="hello", hang_seconds=0.2))
    made, _ = exchange(server)
    kept = []
    threads = [threading.Thread(target=lambda: kept.append(made.answer(request_to(server)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert len({one.attempt for one in kept}) == 1
    assert len(kept) == 4


@pytest.mark.parametrize("changes", [{"max_tokens": None}, {"temperature": 1.0}, {"stream": True}, {"n": 2}])
def test_what_has_no_bound_or_no_repeat_is_not_sent(exchange, serve, wire, changes):
    server = serve(wire(text="hello"))
    made, _ = exchange(server)
    with pytest.raises(ValueError, match="a request "):
        made.answer(request_to(server, **changes))
    assert server.requests == []


def test_calibrate_finds_the_habits_of_the_server(online, run, serve, reader, tmp_path, monkeypatch):
    monkeypatch.setattr(online.calibrate, "MIN_CASES", 1)
    methods = ("one-shot RAG", "spend-all", "guarded FunctionAgent", "guarded ReActAgent", "BAVT-like")
    run("--yes", "--max-usd", "5", "--budgets", "1/100", "3/500", "--methods", *methods, server=serve(reader))
    code, printed = run("calibrate")
    assert code == 0, printed
    fitted = online.noise.tomllib.loads((tmp_path / "out/noise.toml").read_text())["default"]
    assert online.noise.Noise(**fitted)
    # the server answers if and only if all is there, never in another form, and says so when it does not know
    assert fitted["right_with_all_gold"] == pytest.approx(1, abs=0.02)
    assert fitted["right_with_some_gold"] == pytest.approx(0, abs=0.02)
    assert (fitted["form_error"], fitted["abstains_when_wrong"]) == (0, 1)
    # told to search three times nobody chose to stop; older hosts do not tell it a ReActAgent, and it stops when ready
    assert (fitted["stops_when_ready"], fitted["stops_when_not_ready"]) in ((0.8, 0.15), (1, 0))
    assert fitted["right_query"] == 1
    assert fitted["critic_tokens"] == 1  # "70"
    assert "# default; assumed" in printed  # it says nothing about a tracker


@pytest.fixture
def step(online):
    """`step(gold="all", ...)`: one request of a run, as `calibrate` sees it."""
    plain = {"kind": "answer", "gold": "all", "others": 0, "answer": "x", "right": True, "score": 1.0, "query": ""}
    plain |= {"tokens": 5, "gold_share": 1.0, "may_choose": False, "stopped": False, "told": False, "earlier": ()}
    fields = {**dict.fromkeys(online.reading.Step.__dataclass_fields__), **plain}
    return lambda **given: online.reading.Step(**{**fields, **given})


def fits_of(online, steps):
    return online.calibrate.calibrate(steps, online.noise.default_noise())[1]


def test_the_loss_to_other_passages_is_told_from_that_to_missing_gold(online, step):
    """Right with 0 others and wrong with 10, with all gold; right half the time with none of it."""
    steps = [step()] * 30 + [step(others=10, right=False)] * 10
    steps += [step(gold="none", others=10)] * 15 + [step(gold="none", others=10, right=False)] * 15
    fits = fits_of(online, steps)
    assert fits["loss_per_10_others"].value == pytest.approx(1.0)
    assert fits["right_with_all_gold"].value == pytest.approx(1.0)  # 30 of 40, and 10 * 1 lost to others
    assert fits["right_with_no_gold"].value == pytest.approx(1.0)  # a half, and another half lost; never above 1


def test_a_critic_is_judged_where_its_scale_does_not_end(online, step):
    ratings = [0.45, 0.55, 0.65, 0.65, 0.65, 0.65, 0.9, 1.0, 1.0]
    rated = [step(kind="rating", gold="some", gold_share=0.5, rating=rating, answer="") for rating in ratings]
    ended = [step(kind="rating", rating=1.0, answer="") for _ in range(50)]
    fits = fits_of(online, rated + ended)
    assert (fits["critic_bias"].value, fits["critic_bias"].cases) == (pytest.approx(0.15), 9)
    # 15.9 % of the way through nine ratings: 0.27 of the way from the second, 0.55, to the third, 0.65
    assert fits["critic_deviation"].value == pytest.approx(0.65 - (0.55 + 0.1 * (8 * 0.158655 - 1)), abs=1e-4)


def test_a_right_query_is_counted_where_one_could_be_written_and_would_find(online, step):
    plan = {"kind": "proposal", "answer": "", "gold": "some", "query": "a b", "could_write": "a", "could_find": True}
    steps = [step(**plan, finds=True)] * 30 + [step(**plan, finds=False)] * 10
    steps += [step(**plan, finds=False, earlier=("b a",))] * 5 + [step(**plan, finds=False, earlier=("c d",))] * 15
    steps += [step(**{**plan, "could_find": False}, finds=False)] * 9 + [step(**plan, finds=False, told=True)] * 9
    fits = fits_of(online, steps)
    assert (fits["right_query"].value, fits["right_query"].cases) == (0.5, 60)
    assert (fits["repeats_query"].value, fits["repeats_query"].cases) == (0.25, 20)  # with an earlier query


def test_only_a_free_choice_to_stop_is_a_habit(online, step):
    free = {"kind": "tool call", "answer": "", "may_choose": True}
    steps = [step(**free, stopped=True)] * 3 + [step(**free)] + [step(kind="tool call", answer="")] * 9
    steps += [step(**{**free, "gold": "none"})] * 4 + [step(**free, stopped=True, left_share=0.5)]
    fits = fits_of(online, steps)
    assert (fits["stops_when_ready"].value, fits["stops_when_ready"].cases) == (0.75, 4)
    assert (fits["stops_when_not_ready"].value, fits["stops_when_not_ready"].cases) == (0.0, 4)


def test_a_tracker_takes_its_share_of_early_stops(online, step):
    free = {"kind": "tool call", "answer": "", "gold": "some", "may_choose": True}
    steps = [step(**free, stopped=True)] * 40 + [step(**free)] * 60
    told = {**free, "left_share": 0.5}
    steps += [step(**told, stopped=True)] * 30 + [step(**told)] * 70
    fits = fits_of(online, steps)
    assert fits["stops_when_not_ready"].value == 0.4
    # 0.3 of 0.4 is left: a quarter is gone at half a budget
    assert (fits["tracker_strength"].value, fits["tracker_strength"].cases) == (pytest.approx(0.5), 30)


def test_a_calibration_of_few_cases_is_the_default(online, run, serve, reader, tmp_path):
    run(*ASK, server=serve(reader))
    run("calibrate")
    fitted = online.noise.tomllib.loads((tmp_path / "out/noise.toml").read_text())["default"]
    assert online.noise.Noise(**fitted) == online.noise.default_noise()
