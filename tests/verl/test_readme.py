"""The README's blocks that need verl. A training command is run as a dry run, by the module made for that."""

import re
import shlex
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
COMMANDS = [
    command.replace("\\\n", " ")
    for command in re.findall(r"^(python -m \S*verl\S* (?:.*\\\n)*.*)$", README, flags=re.MULTILINE)
]
CONSOLE = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_accepted(fresh, command):
    arguments = shlex.split(command.replace("verl.trainer.main_ppo", "gainful_verl.preflight"))[1:]
    status, output = fresh(*arguments)
    assert status == 0, output
    for option in re.findall(r"algorithm\.(?:gainful|adv_estimator)\S*", command):
        assert option in output


@pytest.mark.parametrize(("command", "expected"), CONSOLE)
def test_console_prints_what_is_shown(fresh, command, expected):
    status, output = fresh("-m", *shlex.split(command), COLUMNS="120")
    assert status == 0

    def lines(text):
        return [" ".join(line.split()) for line in text.splitlines() if line.strip()]

    # the version of verl is whichever row of the matrix runs
    assert [re.sub(r"verl 0\.9\.\d", "verl", line) for line in lines(output)] == [
        re.sub(r"verl 0\.9\.\d", "verl", line) for line in lines(expected)
    ]


def test_there_is_something_to_run():
    assert len(COMMANDS) == 4
    assert len(CONSOLE) == 1
