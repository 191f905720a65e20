"""What information gain costs without a model: judge forwards against all ordered pairs, and scoring a file.

    python recipes/bench/infogain_cost.py
    python recipes/bench/infogain_cost.py --trajectories 1000

First the fixture: ten answers before and ten after a search, a judge that knows that "paris france" is "paris", and the
2 R^2 = 200 forwards of judging all ordered pairs. Then a group: eight rollouts with two searches and one common
baseline. Last, generated trajectories are scored from a file twice; the two outputs must be the same bytes. Exits with
1 if a limit is broken: a tenth of all ordered pairs, 60 seconds for 10,000 trajectories, equal bytes.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gainful.infogain import AnswerSample, GainOptions, SharedJudge, make_judge, read_belief, read_options
from gainful.infogain.score import score_file

NUM_SAMPLES = 10
ALL_PAIRS = 2 * NUM_SAMPLES**2
LIMIT_SECONDS_PER_10_000 = 60
BEFORE = {"lyon": 4, "paris": 3, "marseille": 2, "lille": 1}
AFTER = {"paris": 7, "paris france": 2, "lyon": 1}
ANSWERS = ("Paris", "paris france", "Lyon", "the city of Paris", "Marseille", "Lille", "Nice", "I do not know", "")


class FirstWordJudge:
    """Answers that begin with the same word are the same."""

    name = "first word"
    revision = "1"

    def entail(self, question, pairs):
        return [float(a.split()[0] == b.split()[0]) for a, b in pairs]


def forwards(beliefs, linkage):
    """Judge forwards for one question's beliefs in turn, behind one cache."""
    judge = SharedJudge(FirstWordJudge())
    options = read_options({"cluster": {"linkage": linkage}}, where="bench")
    for answers in beliefs:
        read_belief([AnswerSample(answer) for answer in answers], judge, "q", ["paris"], options)
    return judge.num_forwards


def drawn(counts):
    return [answer for answer, count in counts.items() for _ in range(count)]


def group(rng):
    """One baseline, and for each of eight rollouts the beliefs after two searches."""
    answers = ("paris", "paris france", "lyon", "marseille", "lille", "nice")
    beliefs = []
    for share in (0.2, *(share for _ in range(8) for share in (0.5, 0.8))):
        weights = [share * 0.8, share * 0.2, *[(1 - share) / 4] * 4]
        beliefs.append(rng.choices(answers, weights, k=NUM_SAMPLES))
    return beliefs


def write_trajectories(path, count, rng):
    """Two searches each; answers become surer, questions are their own."""
    with path.open("w") as lines:
        for number in range(count):
            beliefs = []
            for share in (0.2, 0.5, 0.8):
                weights = [share * 0.6, share * 0.2, *[(1 - share) / 7] * 7]
                texts = rng.choices(ANSWERS, weights, k=NUM_SAMPLES)
                beliefs.append({"samples": [{"text": text, "logprob_sum": -2.0, "n_tokens": 3} for text in texts]})
            turns = [{"query": f"query {turn}", "documents": ["A page of text. " * 20] * 3} for turn in (1, 2)]
            record = {"id": f"t{number}", "question": f"Question {number}?", "gold": ["Paris", "Paris, France"]}
            lines.write(json.dumps(record | {"outcome": 1.0, "beliefs": beliefs, "turns": turns}) + "\n")


def score(source, target):
    """Seconds that scoring took, and the digest of what it wrote."""
    options = GainOptions()
    start = time.perf_counter()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("trajectories", total=source.stat().st_size)
        score_file(
            source,
            target,
            make_judge(options.judge),
            options,
            on_progress=lambda num_bytes, _: progress.update(bar, completed=num_bytes),
        )
    return time.perf_counter() - start, hashlib.sha256(target.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=10_000)
    count = parser.parse_args().trajectories
    console, rng, kept = Console(width=120), random.Random(7), True  # noqa: S311
    for name, beliefs, pairs in (
        ("fixture, before", [drawn(BEFORE)], ALL_PAIRS // 2),
        ("fixture, after", [drawn(AFTER)], ALL_PAIRS // 2),
        ("fixture, one cache for both", [drawn(BEFORE), drawn(AFTER)], ALL_PAIRS),
        ("group of 8 rollouts", group(rng), 8 * ALL_PAIRS),
    ):
        for linkage in ("complete", "components"):
            asked = forwards(beliefs, linkage)
            kept &= 10 * asked <= pairs
            console.print(
                f"{name}, {linkage}: {asked} forwards, all pairs {pairs}: {pairs / asked:.1f} x", highlight=False
            )
    with tempfile.TemporaryDirectory() as folder:
        source, *targets = (Path(folder) / name for name in ("in.jsonl", "first.jsonl", "second.jsonl"))
        write_trajectories(source, count, rng)
        (first, digest), (second, again) = (score(source, target) for target in targets)
    kept &= digest == again and max(first, second) <= LIMIT_SECONDS_PER_10_000 * max(count, 10_000) / 10_000
    console.print(
        f"{count:,} trajectories, 3 beliefs of {NUM_SAMPLES} answers each: {first:.1f} s and {second:.1f} s\n"
        f"outputs: {'the same bytes' if digest == again else 'NOT the same bytes'}, sha256 {digest[:16]}",
        highlight=False,
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
