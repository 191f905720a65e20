"""Which calls of a batch are made. The others become a notice, so that every call id gets exactly one result."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import ToolSelection

from gainful.budget import Refusal
from gainful.budget.host_loop import TOOL, tool_cost
from gainful_llamaindex.adapt import call_key, cut_calls
from gainful_llamaindex.run_state import clock
from gainful_llamaindex.runs import GuardRun
from gainful_llamaindex.tools import NOTICE

if TYPE_CHECKING:
    from gainful_llamaindex.guards import GuardSettings

__all__ = ["admit"]


def admit(
    run: GuardRun,
    settings: "GuardSettings",
    calls: Sequence[ToolSelection],
    message: ChatMessage,
    known: Collection[str],
) -> list[ToolSelection]:
    """The batch in its order: calls that are paid for, free or unknown as they are, the others as notices."""
    cut = cut_calls(message)
    return [
        call
        if call.tool_name in settings.free_tools or call.tool_name not in known
        else _notice(call, "its arguments were cut off; call it again with shorter ones")
        if call.tool_id in cut
        else _repeated(run, settings, call) or _paid(run, call)
        for call in calls
    ]


def _repeated(run: GuardRun, settings: "GuardSettings", call: ToolSelection) -> ToolSelection | None:
    earlier = None if settings.repeat_calls == "allow" else run.asked.get(call_key(call))
    if earlier is None:
        return None
    if settings.repeat_calls == "cached" and earlier:
        return _notice(call, earlier, refused=False)
    return _notice(call, "the same call was made before; use its result")


def _paid(run: GuardRun, call: ToolSelection) -> ToolSelection:
    """Set the call's price aside before it starts, or say why it cannot start."""
    now = clock()
    reservation = run.ledger.reserve(tool_cost(run.ledger, call.tool_name, now), TOOL, now)
    if isinstance(reservation, Refusal):
        return _notice(call, f"the budget does not allow it ({reservation}); answer from what you have")
    run.open_tools[call.tool_id] = reservation.id
    run.begun[call.tool_id] = run.ledger.read_clock(now)
    run.keys[call.tool_id] = key = call_key(call)
    run.asked.setdefault(key, "")
    return call


def _notice(call: ToolSelection, text: str, *, refused: bool = True) -> ToolSelection:
    message = f"{call.tool_name} was not called: {text}" if refused else text
    kwargs = {"tool": call.tool_name, "message": message, "refused": refused}
    return ToolSelection(tool_id=call.tool_id, tool_name=NOTICE, tool_kwargs=kwargs)
