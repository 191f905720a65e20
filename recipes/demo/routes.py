"""One prompt through a real engine in this process, with what each step of the engine had computed and streamed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from hindsight import break_even_mbit
from settings import FAST_MBIT

__all__ = ["MODES", "WrongTokensError", "open_engine", "serve_all"]

MODES = ("two_pointer", "layerwise", "async_prefix")
COLD = "compute"
OUTPUT_TOKENS = 8
WARM_UP_TOKENS = 512
SAVE_SECONDS = 60.0


class Link(Protocol):
    """Between engine and store; see recipes/bench/sparkv/shaping.py."""

    def shape(self, mbit: float, rtt_ms: float) -> None: ...


class WrongTokensError(RuntimeError):
    """A mode wrote other tokens than plain prefill; the message names it."""


class Engine:
    """An `LLM` in this process, driven step by step."""

    def __init__(self, llm: Any) -> None:
        from vllm.distributed.kv_transfer import get_kv_transfer_group

        self.llm, self.engine = llm, llm.llm_engine
        scheduler = self.engine.engine_core.engine_core.scheduler
        self.tracked = scheduler.connector.scheduler_part.requests
        self.worker = get_kv_transfer_group().worker_part

    def serve(self, prompt: list[int], **params: Any) -> dict[str, Any]:
        """Seconds to the first token, all tokens, the connector's report, and both routes after each step.

        `points` are (seconds, tokens computed from the front, first token of what was streamed to the end or null).
        """
        self._add(prompt, params)
        start, first, points, output = time.monotonic(), None, [(0.0, 0, None)], None
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                if first is None and output.outputs[0].token_ids:
                    first = time.monotonic() - start
            if first is None:
                self._look(time.monotonic() - start, points)
        assert output is not None
        report = (output.kv_transfer_params or {})["sparkv"]
        return {"seconds": first, "tokens": list(output.outputs[0].token_ids), "report": report, "points": points}

    def _add(self, prompt: list[int], params: dict[str, Any]) -> None:
        from vllm import SamplingParams

        sampling = SamplingParams(
            max_tokens=OUTPUT_TOKENS,
            temperature=0,
            ignore_eos=True,
            detokenize=False,
            extra_args={"kv_transfer_params": {"sparkv": params}},
        )
        self.engine.add_request(f"demo-{time.monotonic_ns()}", {"prompt_token_ids": prompt}, sampling)

    def _look(self, seconds: float, points: list[tuple[float, int, int | None]]) -> None:
        """One point more, if anything has changed."""
        tracked = next(iter(self.tracked.values()), None)
        if tracked is None or tracked.streamed_tokens:
            return
        span = getattr(tracked, "span", None)
        point = (tracked.frontier, span.start_token if span is not None and span.end_token > span.start_token else None)
        if points[-1][1:] != point:
            points.append((seconds, *point))

    def forget(self) -> None:
        """Wait until what was saved is in the store, then empty the engine's own cache."""
        if not self.worker.saver.flush(SAVE_SECONDS):
            raise TimeoutError(f"the prompt was not written to the store within {SAVE_SECONDS:g} s")
        if not self.llm.reset_prefix_cache():
            raise RuntimeError("the engine kept its prefix cache: some blocks are in use")

    def stored_bytes(self, num_tokens: int) -> int:
        """Of the chunks of a prompt that can be reused: the last token is always computed."""
        engine = self.worker.transfers.engine
        return (num_tokens - 1) // engine.chunk_tokens * engine.chunk_bytes


@contextmanager
def open_engine(arguments: dict[str, Any]) -> Iterator[Engine]:
    """One at a time; `arguments` are those of `vllm.LLM`."""
    from vllm import LLM
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    llm = LLM(**arguments)
    try:
        yield Engine(llm)
    finally:
        llm.llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


def serve_all(
    engine: Engine, link: Link, prompt: list[int], repeats: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Serve cold and save, then `repeats` times in turn: plain prefill, and each mode over the link.

    The link gets the rate at which all that is stored takes as long as computing it took.

    Raises:
        WrongTokensError: A mode wrote other tokens than plain prefill.
    """
    # other tokens, so that nothing of the prompt is known yet; the first forwards of a process are slower
    engine.serve(prompt[::-1][:WARM_UP_TOKENS], mode=COLD, save=False)
    cold = engine.serve(prompt, mode=COLD)
    engine.forget()
    num_bytes = engine.stored_bytes(len(prompt))
    mbit = break_even_mbit(num_bytes, cold["seconds"])
    say(f"cold: {len(prompt):,} tokens, first token after {cold['seconds']:.2f} s; {num_bytes / 1e6:.1f} MB saved")
    say(f"the link now passes {mbit:.1f} Mbit/s: streaming all would take as long as computing all")
    runs = [{"mode": COLD, **cold}]
    for repeat in range(repeats):
        for mode in (*((COLD,) if repeat else ()), *MODES):
            runs.append(_one(engine, link, prompt, mode, mbit))
            _check(cold, runs[-1])
            say(f"  {mode:<13}{runs[-1]['seconds']:6.2f} s  {_routes(runs[-1]['report'])}")
    return {"prompt_tokens": len(prompt), "stored_bytes": num_bytes, "mbit": mbit, "runs": runs}


def _one(engine: Engine, link: Link, prompt: list[int], mode: str, mbit: float) -> dict[str, Any]:
    """Each mode as it is by itself: without the cost model, which would choose among them."""
    link.shape(mbit, 0.0)
    params = {"stream_tokens": len(prompt)} if mode in ("layerwise", "async_prefix") else {}
    run = engine.serve(prompt, mode=mode, save=False, use_plan=False, **params)
    link.shape(FAST_MBIT, 0.0)
    engine.forget()
    return {"mode": mode, **run}


def _check(cold: dict[str, Any], run: dict[str, Any]) -> None:
    if run["tokens"] != cold["tokens"]:
        expected = f"expected the tokens of plain prefill {cold['tokens']}"
        raise WrongTokensError(f"{run['mode']}: {expected}, got {run['tokens']}")


def _routes(report: dict[str, Any]) -> str:
    return f"computed {report['computed_tokens']:,}, streamed {report['streamed_tokens']:,}, same tokens"
