"""One run of verl that is shown while it goes on, and whose failure is explained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from . import launch, progress, records


def run_and_show(
    plan: progress.Watched,
    display: progress.Display,
    *,
    command: Sequence[str],
    environment: Mapping[str, str],
    max_seconds: float,
) -> str | None:
    """Run verl to its end; why it failed, or None if it did not."""

    def look() -> None:
        progress.show(display, plan)

    try:
        status = launch.run(command, environment, plan.log_file, max_seconds=max_seconds, look=look)
    except launch.RunTimeoutError as error:
        return str(error)
    finally:
        look()
    return f"verl ended with status {status}" if status else None


def print_failure(console: Console, log_file: Path, reason: str) -> None:
    """Say why a run failed, with the lines of its log that matter."""
    console.print(f"[red]{reason}[/]", highlight=False)
    log = log_file.read_text(errors="replace") if log_file.exists() else ""
    for line in [*(f"  {line}" for line in records.last_errors(log)), f"whole log: {log_file}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def base_progress(display: progress.Display) -> Callable[[int, int, float], None]:
    """Shows the training of a base model."""

    def report(step: int, num_steps: int, loss: float) -> None:
        display.update(phase="base model", step=step, num_steps=num_steps, note=f"loss {loss:.2f}")

    return report
