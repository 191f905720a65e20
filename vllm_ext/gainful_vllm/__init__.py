"""Adapter for vLLM. This release registers nothing: the SparKV connector is not part of it yet."""

__all__ = ["register"]


def register() -> None:
    """What vLLM calls, perhaps twice, in each of its processes: cheap, idempotent, never raises."""
