"""The scheduler class for `two_pointer`: asks the connector once more where both routes have met.

vLLM asks a connector only about waiting requests. So a prefill whose computed part has reached what was streamed goes
back to the waiting queue, is admitted again in the same step, finds its computed part in the prefix cache, and the
connector offers the rest. The interface of schedulers is not public in vLLM: `_preempt_request` and
`prev_step_scheduled_req_ids` are what is used of it, and `max_num_scheduled_tokens` where a step is cut short;
tests/vllm watches them.
"""

import time
from typing import Any

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

__all__ = ["SparKVScheduler"]


class SparKVScheduler(Scheduler):
    """vLLM's own, with two questions more per step; the same without our connector."""

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Called once per engine step."""
        has_met = getattr(self.connector, "has_met", None)
        if has_met is not None:
            for request in [request for request in self.running if has_met(request)]:
                self.running.remove(request)
                self._preempt_request(request, time.monotonic())
                # resumed in the step in which it was preempted: the runner must take it as not scheduled before
                self.prev_step_scheduled_req_ids.discard(request.request_id)
        whole = self.max_num_scheduled_tokens
        self.max_num_scheduled_tokens = min(whole, self._step_limit() or whole)
        try:
            return super().schedule(*args, **kwargs)
        finally:
            self.max_num_scheduled_tokens = whole

    def _step_limit(self) -> int | None:
        """A step is cut short for a request that is alone: nobody else is to pay for its race."""
        step_limit = getattr(self.connector, "step_limit", None)
        if step_limit is None or self.get_request_counts() != (1, 0):
            return None
        return step_limit(self.running[0]) if self.running else None
