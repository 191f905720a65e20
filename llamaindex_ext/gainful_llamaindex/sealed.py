"""The model that a budgeted agent shows to the host: it describes itself, and it cannot be called past the ledger.

The host calls an agent's model in places of its own, after the loop: for structured output of a workflow, or for a last
word when iterations run out. No ledger could count those calls, so the model that is found there refuses them.
"""

from functools import cache
from types import new_class
from typing import Any, NoReturn

from llama_index.core.llms import LLM

from gainful_llamaindex.errors import NoLedgerError

__all__ = ["seal", "unseal"]


def seal(llm: LLM) -> LLM:
    """A copy that refuses calls; it is an instance of the model's class, and shares its clients."""
    return llm if isinstance(llm, _Sealed) else _as_class(llm, _sealed(type(llm)))


def unseal(llm: LLM) -> LLM:
    """A copy that can be called; a model that was not sealed as it is."""
    return _as_class(llm, type(llm).__mro__[2]) if isinstance(llm, _Sealed) else llm


def _as_class(llm: LLM, cls: type[LLM]) -> LLM:
    copy = llm.model_copy()
    object.__setattr__(copy, "__class__", cls)
    return copy


@cache
def _sealed(cls: type[LLM]) -> type[LLM]:
    return new_class(f"Sealed{cls.__name__}", (_Sealed, cls), {}, lambda body: body.update(__module__=__name__))


def _refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
    raise NoLedgerError(
        f"{type(self).__mro__[2].__name__} belongs to a budgeted agent and was called outside its steps, where no "
        "ledger counts; leave structured output unset and max_iterations large enough, or call your own model object"
    )


class _Sealed:
    """Mixed in before the model's class."""

    chat = achat = stream_chat = astream_chat = _refuse
    complete = acomplete = stream_complete = astream_complete = _refuse
