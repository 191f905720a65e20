"""The HTTP side: requests in, reports out. Limits and accounts are gainful's; here they are only translated."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from asked import MAX_BODY_BYTES, Asked, BadRequestError, read_asked
from counting import Counts, violated
from gate import FullError, Gate
from running import RunFailedError, Runner

from gainful.budget import Allowance, Budget, BudgetReport
from gainful.errors import ConfigError, did_you_mean

__all__ = ["Service", "application"]

ANSWER = "/answer"
BODY_SECONDS = 10.0
"""A body that comes more slowly is not waited for."""
RETRY_SECONDS = 1

_log = logging.getLogger("gainful.serve_agent")


class Service:
    """Handlers and the state that they share.

    Args:
        runners: By the name under which users ask for them; the first is the default.
        allowance: What a user gets, and the most that it may ask for.
        gate: How many runs go on at once.
    """

    def __init__(self, runners: Mapping[str, Runner], allowance: Allowance, gate: Gate) -> None:
        self.runners, self.allowance, self.gate = dict(runners), allowance, gate
        self.counts = Counts()
        self._tasks: set[asyncio.Task[BudgetReport]] = set()
        self._cancelled: set[asyncio.Task[BudgetReport]] = set()

    async def answer(self, request: web.Request) -> web.Response:
        """POST /answer."""
        asked = read_asked(await _body(request))
        runner, budget = self._runner(asked), self._budget(asked)
        task = asyncio.create_task(self._run(runner, asked.question, budget))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        try:
            report = await asyncio.shield(task)
        except asyncio.CancelledError:  # the user has gone
            self._cancel(task)
            raise
        except RunFailedError as error:
            return web.json_response({"error": str(error)} | _spending(error.report), status=error.status)
        return web.json_response({"answer": report.answer, "answered_by": report.origin} | _spending(report))

    async def health(self, request: web.Request) -> web.Response:
        """GET /health: 200 while new requests are taken."""
        state = "closing" if self.gate.closed else "ok"
        return web.json_response({"status": state}, status=503 if self.gate.closed else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(text=self.counts.text(self.gate.running, self.gate.waiting))

    async def close(self) -> None:
        """Cancel what still runs, and wait until it is accounted for."""
        for task in list(self._tasks):
            self._cancel(task)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, runner: Runner, question: str, budget: Budget) -> BudgetReport:
        """A task of its own: its place at the gate is free when the run has ended, not when its user has gone."""
        async with self.gate.enter():
            try:
                report = await runner.run(question, budget)
            except RunFailedError as error:
                if error.report is not None:
                    self.counts.run(error.report)
                _log.warning("a run ended without an answer: %s", error)
                raise
            self.counts.run(report)
            return report

    def _runner(self, asked: Asked) -> Runner:
        name = next(iter(self.runners)) if asked.agent is None else asked.agent
        if name not in self.runners:
            known = ", ".join(self.runners)
            raise BadRequestError(f"agent: there is no such one{did_you_mean(name, self.runners)}; known: {known}")
        return self.runners[name]

    def _budget(self, asked: Asked) -> Budget:
        try:
            return self.allowance.grant(asked.budget)
        except ConfigError as error:
            raise BadRequestError(str(error)) from None

    def _cancel(self, task: asyncio.Task[BudgetReport]) -> None:
        """Once: a second time would break off the accounts of the first."""
        if task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    def _forget(self, task: asyncio.Task[BudgetReport]) -> None:
        self._tasks.discard(task)
        self._cancelled.discard(task)
        if not task.cancelled():
            task.exception()  # it was told to whoever waited, if anybody did


def application(service: Service, grace_seconds: float = 10.0) -> web.Application:
    """An aiohttp application with three routes; every answer but the metrics is JSON.

    Args:
        service: Its handlers.
        grace_seconds: How long runs may go on once the application is told to stop.
    """

    @web.middleware
    async def errors(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await _translated(request, handler)
        if request.path == ANSWER:
            service.counts.response(response.status)
        return response

    async def begin_to_close(app: web.Application) -> None:
        service.gate.closed = True
        until = asyncio.get_running_loop().time() + grace_seconds
        while service.gate.running + service.gate.waiting and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.02)
        await service.close()

    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[errors])
    app.router.add_post(ANSWER, service.answer)
    app.router.add_get("/health", service.health)
    app.router.add_get("/metrics", service.metrics)
    app.on_shutdown.append(begin_to_close)
    return app


async def _translated(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadRequestError as error:
        return _error(str(error), error.status)
    except FullError as error:
        return _error(str(error), 503, {"Retry-After": str(RETRY_SECONDS)})
    except web.HTTPRequestEntityTooLarge:
        return _error(f"the body is longer than {MAX_BODY_BYTES} bytes", 413, {"Connection": "close"})
    except web.HTTPException as error:
        return _error(error.reason, error.status, {k: v for k, v in error.headers.items() if k == "Allow"})


async def _body(request: web.Request) -> bytes:
    try:
        return await asyncio.wait_for(request.read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise BadRequestError(f"the body did not come within {BODY_SECONDS:g} s", 408) from None


def _error(why: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": why}, status=status, headers=headers)


def _spending(report: BudgetReport | None) -> dict[str, object]:
    """What a run took, as JSON."""
    if report is None:
        return {"stop": "not begun", "spent": {}, "limits": {}, "violated": False}
    return {
        "stop": report.exit_reason,
        "spent": {axis: _number(amount) for axis, amount in report.spent.items()},
        "limits": {axis: _number(amount) for axis, amount in report.limits.items()},
        "violated": violated(report),
    }


def _number(amount: float) -> float:
    """Counts as whole numbers, seconds and money as they are: micro-units are whole already."""
    return int(amount) if float(amount).is_integer() else amount
