"""The rows of `make test`: nothing is left out for good, nothing is left out unsaid, and the oldest is the oldest."""

import re
import subprocess
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import dates
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gainful.hosts import HOSTS, check

ROOT = Path(__file__).parents[2]
FIRST = date(1, 1, 3)  # the third day since year 1, so the first of the rotation's three


@pytest.fixture(scope="module")
def rows(script):
    return script("rows")


def test_every_requirement_set_is_that_of_a_row(rows):
    used = {file for row in rows.ROWS for file in rows.requirement_sets(row)}
    assert used == set((ROOT / ".ci").glob("*.txt"))


def test_the_rotation_covers_every_row_and_the_latest_releases_run_on_every_day(rows):
    @given(first=dates(max_value=date(9999, 12, 1)))
    def covers(first):
        days = [rows.rows_of(first + timedelta(days=number)) for number in range(len(rows.ROTATION))]
        assert set().union(*days) == set(rows.ROWS)
        assert all(set(rows.ALWAYS) <= set(day) and len(set(day)) == len(day) for day in days)

    covers()
    latest = {file.name.partition(".")[0] for file in (ROOT / ".ci").glob("*.latest.txt")}
    assert latest <= set(rows.ALWAYS)


@pytest.mark.parametrize("host", HOSTS)
def test_the_oldest_row_of_a_host_pins_the_lower_end_of_its_range_and_the_others_are_inside(host, rows):
    supported = SpecifierSet(check(host).supported)
    pattern = rf"^(?:{'|'.join(HOSTS[host].distributions)})==(\S+)"
    files = {file for row in rows.ROWS for file in rows.requirement_sets(row) if file.name.startswith(f"{host}.")}
    pinned = [Version(re.search(pattern, file.read_text(), flags=re.MULTILINE)[1]) for file in files]
    [lowest] = [Version(end.version) for end in supported if end.operator == ">="]
    assert min(pinned) == lowest
    assert all(version in supported for version in pinned)


def test_the_rows_of_a_day_and_the_next_days_of_the_others_are_those_worked_out_by_hand(rows):
    assert rows.rows_of(FIRST) == (*rows.ALWAYS, *rows.ROTATION[0])
    said = rows.plan(rows.chosen(["today"], FIRST), FIRST)
    assert said.startswith(f"rows of 0001-01-03: {', '.join(rows.rows_of(FIRST))}\n")
    for number in (1, 2):
        for row in rows.ROTATION[number]:
            assert f"{row} (next on 0001-01-0{3 + number})" in said
    assert rows.next_day(rows.ROTATION[0][0], FIRST) == date(1, 1, 6)
    assert rows.plan(rows.chosen(["all"], FIRST), FIRST).endswith("\nleft out: none")
    assert rows.chosen(["verl-oldest"], FIRST) == ["verl-oldest"]


def test_a_row_that_is_not_known_is_refused_with_those_that_are(rows, capsys):
    with pytest.raises(SystemExit) as ended:
        rows.main(["verl-odlest"])
    assert ended.value.code == 2
    assert "unknown row verl-odlest; known: today, all, lint" in capsys.readouterr().err


def test_a_row_that_fails_stops_no_other_and_fails_the_whole(rows, tmp_path, monkeypatch, capfd):
    (tmp_path / "Makefile").write_text(
        "lint:\n\t@echo checked\n\ntest-core:\n\t@false\n\ntest-verl:\n\t@echo trained\n"
    )
    monkeypatch.setattr(rows, "ROOT", tmp_path)
    assert rows.main(["core", "verl"]) == 1
    output = capfd.readouterr().out
    assert "trained" in output
    assert re.findall(r"^(FAILED|passed) .* (make \S+)$", output, flags=re.MULTILINE) == [
        ("FAILED", "make test-core"),
        ("passed", "make test-verl"),
    ]
    assert output.count("left out: lint (next on ") == 2  # before the rows and after them
    assert rows.main(["lint"]) == 0


def test_every_row_is_a_target_that_runs_in_its_own_environment(rows):
    for row in rows.ROWS:
        done = subprocess.run(["make", "--dry-run", rows.target(row)], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        folder = rows.requirement_sets(row)[0].name.removesuffix(".txt").replace(".latest", "").replace(".", "-")
        assert f".venvs/{folder}/bin/" in done.stdout, row


def test_every_folder_of_tests_is_run_by_some_row(rows):
    targets = [rows.target(row) for row in rows.ROWS]
    said = subprocess.run(["make", "--dry-run", *targets], capture_output=True, text=True, cwd=ROOT).stdout
    tracked = subprocess.run(["git", "ls-tree", "-r", "--name-only", "HEAD", "tests"], capture_output=True, cwd=ROOT)
    folders = set(re.findall(r"^tests/\w+(?=/.*test_\w+\.py$)", tracked.stdout.decode(), flags=re.MULTILINE))
    assert {"tests/unit", "tests/verl"} <= folders
    assert folders - set(re.findall(r"tests/\w+", said)) == set()


def test_the_pipeline_and_make_test_run_the_rows_of_the_day():
    done = subprocess.run(["make", "--dry-run", "test", "ROWS=all"], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip().endswith("python3} .ci/rows.py all")
    assert (ROOT / ".ci/run").read_text().splitlines()[-1] == "make test"


def test_the_page_names_every_row_and_says_which_release_is_both_ends_of_its_range(rows):
    page = (ROOT / "docs/compatibility.md").read_text()
    assert re.findall(r"^\| `make (\S+)` \|", page, flags=re.MULTILINE) == [rows.target(row) for row in rows.ROWS]
    for host in HOSTS:
        one_release = len(list((ROOT / ".ci").glob(f"{host}.*.txt"))) == 1
        [line] = [line for line in page.splitlines() if f"| `gainful[{host}]` |" in line and line.count("|") == 5]
        assert ("oldest and latest" in line) == one_release
        assert one_release or ("(oldest)" in line and "(latest)" in line)
