"""Shows how a run goes on: a live line on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .records import REWARD_KEY, read_jsonl

_MILESTONES = (
    ("Creating file logger", "validation"),
    ("Started a local Ray instance", "starting workers"),
)
"""What verl's log says, latest first, and the phase that begins there."""


class Watched(Protocol):
    """What is read of a run while it goes on."""

    num_steps: int
    validate_every: int

    @property
    def log_file(self) -> Path: ...

    @property
    def metrics_file(self) -> Path: ...

    @property
    def resumes(self) -> bool: ...


class Display(Protocol):
    """Where progress goes."""

    def update(self, *, phase: str, step: int, num_steps: int, note: str) -> None:
        """Called twice a second; `note` holds the latest figures."""


class LiveDisplay:
    """One line that is redrawn."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._tasks: dict[str, int] = {}

    def update(self, *, phase: str, step: int, num_steps: int, note: str) -> None:
        bar = "base model" if phase == "base model" else "verl"
        if bar not in self._tasks:
            self._tasks[bar] = self._progress.add_task(phase, total=num_steps, note="")
        self._progress.update(self._tasks[bar], description=phase, completed=step, total=num_steps, note=note)


class PlainDisplay:
    """A line whenever the phase changes, and every few seconds in between."""

    def __init__(self, console: Console, every_seconds: float = 10.0):
        self._console, self._every_seconds = console, every_seconds
        self._phase, self._step, self._last = "", -1, 0.0
        self._start = time.monotonic()

    def update(self, *, phase: str, step: int, num_steps: int, note: str) -> None:
        now = time.monotonic()
        due = step != self._step and now - self._last >= self._every_seconds
        if phase != self._phase or due:
            self._phase, self._step, self._last = phase, step, now
            self._console.print(
                f"[{now - self._start:6.1f} s] {phase} {step}/{num_steps} {note}".rstrip(), markup=False
            )


@contextmanager
def open_display(console: Console, title: str) -> Iterator[Display]:
    """A display that fits the console, closed at the end of the block."""
    console.print(title, markup=False)
    if not console.is_terminal:
        yield PlainDisplay(console)
        return
    columns = (  # 80 characters in all
        TextColumn("{task.description:<23}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]:<11}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield LiveDisplay(progress)


def show(display: Display, plan: Watched) -> None:
    """Read how far the run is from the files that it writes, and show it."""
    records = list(read_jsonl(plan.metrics_file)) if plan.metrics_file.exists() else []
    step = max((record["step"] for record in records), default=0)
    rewards = [record["data"][REWARD_KEY] for record in records if REWARD_KEY in record["data"]]
    note = f"reward {rewards[-1]:.2f}" if rewards else ""
    display.update(phase=_phase(plan, step, bool(records)), step=step, num_steps=plan.num_steps, note=note)


def _phase(plan: Watched, step: int, has_records: bool) -> str:
    if has_records:
        upcoming = step + 1
        validates = upcoming == plan.num_steps or upcoming % plan.validate_every == 0
        return "training and validation" if validates else "training"
    log = plan.log_file.read_text(errors="replace") if plan.log_file.exists() else ""
    reached = next((phase for text, phase in _MILESTONES if text in log), "starting Ray")
    return "training" if reached == "validation" and plan.resumes else reached
