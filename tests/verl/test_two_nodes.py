"""verl over two Ray nodes: the commands, what counts as a fault, and the real run on two network namespaces."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

RECIPE = "recipes/verl_two_nodes"
REWARD, ADVANTAGE = "critic/score/mean", "critic/advantages/mean"

needs_namespaces = pytest.mark.skipif(
    "namespaces" not in os.environ.get("GAINFUL_EXPECT_HOSTS", "").split(",")
    and (os.geteuid() != 0 or shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None),
    reason="network namespaces need root and iproute2; run make test-verl-nodes as root",
)


@pytest.fixture
def evaluate(fresh, repository):
    """`evaluate("code that leaves something in answer")`, in a fresh interpreter with the recipe on its path."""

    def run(code):
        path = f"{repository}/recipes:{repository}/recipes/verl_agpo_cpu:{repository / RECIPE}"
        status, output = fresh("-c", f"{code}\nimport json; print(json.dumps(answer))", PYTHONPATH=path)
        assert status == 0, output
        return json.loads(output.splitlines()[-1])

    return run


def node(address, **other):
    return {"address": address, "loaded_by_verl": True, "agpo": "x.agpo", "actors": {"WorkerDict": 1}, **other}


def finished(**other):
    """The record of a good run of one step."""
    step = {
        "step": 1,
        "timing_s/step": 1.0,
        REWARD: 0.5,
        ADVANTAGE: -0.1,
        "critic/advantages/max": 1.0,
        "critic/advantages/min": -1.0,
        "actor/pg_loss": 0.1,
        "actor/grad_norm": 0.2,
    }
    nodes = [node("10.77.0.1"), node("10.77.0.2")]
    return {"num_nodes": 2, "nodes": nodes, "link_bytes": [5, 7], "steps": [step], **other}


def test_a_dry_run_starts_stock_verl_on_two_nodes_neither_of_which_holds_both_groups(fresh, tmp_path, repository):
    out = tmp_path / "out"
    status, output = fresh(str(repository / RECIPE), "--dry-run", "--nodes", "2", "--out", str(out))
    assert status == 0, output
    assert not out.exists()
    head, second, training = (line.split("$ ", 1)[1] for line in output.splitlines() if line.startswith("node"))
    assert "ray start --head" in head
    assert "ray start --address=10.77.0.1:6379 --node-ip-address=10.77.0.2" in second
    assert all("--num-cpus=5 --num-gpus=1 " in command for command in (head, second))  # a group is 3 CPUs and 1 GPU
    assert "-m verl.trainer.main_ppo" in training
    assert "trainer.nnodes=2 trainer.n_gpus_per_node=1" in training
    assert "gainful" not in training.replace(str(repository), "").replace(sys.prefix, "").replace(str(out), "")
    assert "RAY_AUTH_MODE=token" in output


def test_a_machine_that_cannot_be_two_is_told_before_anything_starts(fresh, tmp_path, repository):
    code = (
        "import os, runpy, sys; os.geteuid = lambda: 1000; "
        f"sys.argv = ['recipe', '--out', {str(tmp_path / 'out')!r}]; "
        f"sys.path.insert(0, {str(repository / RECIPE)!r}); "
        f"runpy.run_path({str(repository / RECIPE / '__main__.py')!r}, run_name='__main__')"
    )
    status, output = fresh("-c", code)
    assert status == 2, output
    assert "expected root, found user id 1000" in output
    assert not (tmp_path / "out").exists()


def test_a_good_run_has_no_faults_and_each_missing_thing_is_one(evaluate):
    nan_step = {**finished()["steps"][0], ADVANTAGE: float("nan")}
    lacking = [node("10.77.0.1"), node("10.77.0.2", agpo=None, loaded_by_verl=False)]
    idle = [node("10.77.0.1", actors={"WorkerDict": 2}), node("10.77.0.2", actors={})]
    cases = [
        finished(),
        finished(steps=[]),
        finished(steps=[nan_step]),
        finished(nodes=lacking),
        finished(nodes=idle),
        finished(link_bytes=[5, 0]),
    ]
    code = f"import results; nan = float('nan'); answer = [list(results.faults(one, 1)) for one in {cases!r}]"
    good, short, nan, not_loaded, no_actor, no_bytes = evaluate(code)
    assert good == []
    assert short == ["expected 1 training steps, found 0"]
    assert nan == [f"step 1: {ADVANTAGE} is nan"]
    assert len(not_loaded) == len(no_actor) == len(no_bytes) == 1
    assert not_loaded[0].startswith("10.77.0.2: `import verl` did not load gainful; install it in the environment")
    assert no_actor[0].startswith("10.77.0.2: expected a training process")
    assert no_bytes == ["expected bytes both ways over the cable, found [5, 0]"]


def test_actors_are_counted_where_they_ran(evaluate):
    watched = {
        "nodes": [{"node_id": "aa", "address": "10.77.0.1"}, {"node_id": "bb", "address": "10.77.0.2"}],
        "actors": {
            "1": {"class": "colocated.<locals>.WorkerDict", "node_id": "aa"},
            "2": {"class": "colocated.<locals>.WorkerDict", "node_id": "bb"},
            "3": {"class": "BatchedServer", "node_id": "bb"},
            "4": {"class": "BatchedServer", "node_id": "bb"},
        },
    }
    first, second = evaluate(f"import results; answer = [n['actors'] for n in results.actors_by_node({watched!r})]")
    assert first == {"WorkerDict": 1}
    assert second == {"WorkerDict": 1, "BatchedServer": 2}


def test_runs_differ_by_their_largest_step(evaluate):
    one, other = finished()["steps"] * 2, [dict(step) for step in finished()["steps"] * 2]
    other[1]["actor/grad_norm"] = 0.7
    found = evaluate(f"import results; answer = results.largest_differences({one!r}, {other!r})")
    assert found.pop("actor/grad_norm") == pytest.approx(0.5)
    assert not any(found.values())


@contextmanager
def started(*arguments):
    """The recipe's command, which is asked to end if the test does: killed, it could not put its nodes away."""
    command = [sys.executable, RECIPE, *arguments]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def both_runs(tmp_path_factory, bases):
    """Two steps on two nodes and on one, by the recipe's command: its output and its summary."""
    out = tmp_path_factory.mktemp("two_nodes")
    with started("--steps", "2", "--out", str(out), "--bases", str(bases)) as process:
        output, _ = process.communicate(timeout=1100)
    assert process.returncode == 0, output[-6000:]
    return out, json.loads((out / "summary.json").read_text())


@pytest.mark.two_nodes
@pytest.mark.timeout(1200)  # two runs
@needs_namespaces
def test_training_runs_on_both_nodes_and_gainful_is_found_on_both_by_entry_point(both_runs):
    out, summary = both_runs
    two = summary["runs"][0]
    assert sorted(node["address"] for node in two["nodes"]) == ["10.77.0.1", "10.77.0.2"]
    assert len({node["node_id"] for node in two["nodes"]}) == 2
    for one in two["nodes"]:
        assert one["agpo"].startswith("gainful_verl.")
        assert one["actors"]["WorkerDict"] == one["actors"]["BatchedServer"] == 1
    assert min(two["link_bytes"]) > 1_000_000  # a quarter of a million float32 gradients, averaged twice, and the rows
    log = (out / "2-node-seed1/attempts/1/log.txt").read_text()
    assert "gainful.verl: agpo update 2: gainful/adv/net_seq=" in log


@pytest.mark.two_nodes
@pytest.mark.timeout(1200)  # two runs
@needs_namespaces
def test_one_node_gives_the_same_answers_and_figures(both_runs):
    comparison = both_runs[1]["comparison"]
    assert comparison["first_step_with_other_answers"] is None
    assert max(comparison["largest_differences"].values()) < 1e-5


@pytest.mark.two_nodes
@pytest.mark.usefixtures("interruptible")
@needs_namespaces
def test_an_interrupt_leaves_no_node_and_no_process(tmp_path, bases):
    joined = tmp_path / "2-node-seed1/attempts/1/ray-2.txt"
    with started("--nodes", "2", "--steps", "2", "--out", str(tmp_path), "--bases", str(bases)) as process:
        while not joined.exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 130, output
    ours = f"v2n-{process.pid}-"  # Ray's files, named in the command line of every process of Ray
    assert not [line for line in _lines("ps", "-eo", "args") if ours in line]
    assert not list(Path("/tmp").glob(f"{ours}*"))  # noqa: S108
    assert not [line for line in _lines("ip", "netns", "list") if f"gainful-verl-{process.pid}-" in line]


def _lines(*command):
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
