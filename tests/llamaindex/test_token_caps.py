"""Which field caps the output, on copies only."""

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.llms import MockLLM
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike

from gainful_llamaindex.errors import UnsupportedLLMError
from gainful_llamaindex.testing import ScriptedLLM
from gainful_llamaindex.token_caps import capped, check_llm, own_cap


def openai(**options: Any) -> OpenAI:
    return OpenAI(model="gpt-4o-mini", api_key="none", **options)


def test_the_cap_is_set_on_a_copy_and_the_callers_model_keeps_its_own():
    llm = openai(max_tokens=200, additional_kwargs={"seed": 1})
    copy = capped(llm, 42)
    assert copy._get_model_kwargs()["max_tokens"] == 42
    assert copy._get_model_kwargs()["seed"] == 1
    assert (llm.max_tokens, llm.additional_kwargs) == (200, {"seed": 1})


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_keywords_that_would_overrule_the_field_are_dropped_from_the_copy(name):
    copy = capped(openai(additional_kwargs={name: 999}), 42)
    assert {copy._get_model_kwargs().get(key) for key in ("max_tokens", "max_completion_tokens")} == {42, None}


def test_usage_is_asked_for_in_streams_and_only_there():
    copy = capped(openai(additional_kwargs={"stream_options": {"other": 1}}), 42)
    assert copy._get_model_kwargs(stream=True)["stream_options"] == {"other": 1, "include_usage": True}
    assert "stream_options" not in copy._get_model_kwargs()


def test_a_reasoning_model_gets_the_cap_that_includes_its_reasoning():
    kwargs = capped(OpenAI(model="o3-mini", api_key="none"), 42)._get_model_kwargs()
    assert kwargs["max_completion_tokens"] == 42
    assert "max_tokens" not in kwargs


def test_classes_are_found_by_inheritance_and_the_nearest_wins():
    class Mine(OpenAILike):
        pass

    assert capped(Mine(model="m", api_key="none"), 7).max_tokens == 7
    assert capped(OpenAIResponses(model="gpt-4o-mini", api_key="none"), 7).max_output_tokens == 7


def test_an_unknown_class_is_refused_with_its_name_and_the_remedy():
    with pytest.raises(UnsupportedLLMError, match=r"MockLLM.*no entry for this class.*token_cap="):
        check_llm(MockLLM())


def test_a_foreign_class_that_only_shares_a_name_is_unknown():
    foreign = type("OpenAI", (MockLLM,), {"__module__": "somebody.else"})
    with pytest.raises(UnsupportedLLMError):
        check_llm(foreign())


def test_the_caller_can_name_the_field_or_give_a_function():
    assert capped(MockLLM(), 9, "max_tokens").max_tokens == 9
    assert capped(MockLLM(), 9, lambda llm, n: llm.model_copy(update={"max_tokens": n - 1})).max_tokens == 8
    with pytest.raises(UnsupportedLLMError, match="no field 'max_words'"):
        check_llm(MockLLM(), "max_words")


def test_several_completions_a_call_are_refused():
    with pytest.raises(UnsupportedLLMError, match="n is 3, must be 1"):
        check_llm(openai(additional_kwargs={"n": 3}))


def test_the_callers_own_cap_is_read_wherever_it_stands():
    assert own_cap(openai()) is None
    assert own_cap(openai(max_tokens=50)) == 50
    assert own_cap(openai(max_tokens=50, additional_kwargs={"max_completion_tokens": 30})) == 30
    assert own_cap(ScriptedLLM(script=["a"], max_tokens=12)) == 12


def test_a_model_without_a_cap_can_be_cut_off_if_the_caller_asks_for_it():
    """Chunks of one word; the reading stops at the cap, and what was read reports no usage."""

    class Chunky(MockLLM):
        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def chunks() -> Any:
                for n in range(1, 50):
                    self.__dict__["written"] = n
                    message = ChatMessage(role="assistant", content="word " * n)
                    yield ChatResponse(message=message, delta="word ", raw={"usage": {"completion_tokens": n}})

            return chunks()

    copy = capped(Chunky(), 5, "stream_cutoff")
    assert isinstance(copy, Chunky)
    response = asyncio.run(copy.achat([ChatMessage(content="q")]))
    assert 4 <= len((response.message.content or "").split()) <= 5
    assert copy.__dict__["written"] <= 5
    assert response.raw is None
    short = asyncio.run(capped(Chunky(), 500, "stream_cutoff").achat([ChatMessage(content="q")]))
    assert short.raw == {"usage": {"completion_tokens": 49}}
