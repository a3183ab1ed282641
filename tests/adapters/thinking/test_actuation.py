"""From a wish to the parameters of each provider, and what is said of every difference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.thinking import actuate
from gateway.domain.capabilities import Shown
from gateway.domain.capability_table import find
from gateway.domain.chat import Dialect
from gateway.domain.thinking import Actuation, Wish
from gateway.ports import ThinkingActuator

CHAT, RESPONSES, MESSAGES = Dialect.OPENAI_CHAT, Dialect.OPENAI_RESPONSES, Dialect.ANTHROPIC_MESSAGES
USER = {"role": "user", "content": "Why?"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "look"}}


def messages(model: str, wish: Wish, ceiling: int | None = None, **fields: Any) -> Actuation:
    """The wish put to a model of Anthropic's."""
    body = {"model": model, "max_tokens": 4096, "messages": [USER], **fields}
    return actuate(find("anthropic", model), MESSAGES, body, wish, max_output_tokens=ceiling)


def chat(provider: str, model: str, wish: Wish, ceiling: int | None = None, **fields: Any) -> Actuation:
    """The wish put to a model in Chat Completions."""
    body = {"model": model, "messages": [USER], **fields}
    return actuate(find(provider, model), CHAT, body, wish, max_output_tokens=ceiling)


def test_the_function_is_the_port() -> None:
    """``actuate`` is what flow may ask for."""
    actuator: ThinkingActuator = actuate
    assert actuator(find("x", "y"), CHAT, {}, Wish(), max_output_tokens=None) == Actuation()


def test_a_level_of_a_budgeted_model_becomes_its_number_and_room_is_made() -> None:
    """An effort is sent as a number to a model that takes numbers, the output limit is raised, and both are said."""
    done = messages("claude-haiku-4-5", Wish("medium"), 64_000)
    assert done.changes == {
        "max_tokens": 9216,
        "thinking": {"type": "enabled", "budget_tokens": 8192},
    }
    assert done.sent == {"thinking_tokens": 8192}
    assert done.requested == {"effort": "medium"}
    assert done.remaps == (
        "effort medium sent as 8192 thinking tokens: this model takes a number",
        "max_tokens raised from 4096 to 9216: thinking counts toward it",
    )


def test_a_number_that_fits_is_sent_without_a_word() -> None:
    """Where the model does exactly what is wished, nothing is remarked."""
    done = messages("claude-sonnet-4-6", Wish(thinking_tokens=2048))
    assert done.changes == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert done.remaps == ()


def test_where_the_limit_may_not_be_raised_the_budget_gets_what_is_left() -> None:
    """The answer keeps its room and the thinking takes the rest, which is said."""
    done = messages("claude-haiku-4-5", Wish(thinking_tokens=8192), 4096)
    assert done.changes["thinking"]["budget_tokens"] == 3072
    assert "max_tokens" not in done.changes
    assert done.remaps == ("thinking lowered from 8192 to 3072 tokens: the output may have 4096",)


def test_where_no_budget_fits_thinking_is_off() -> None:
    """An output limit below what thinking needs switches it off, and says so."""
    done = messages("claude-haiku-4-5", Wish("high"), 1500, max_tokens=1500)
    assert done.changes == {}
    assert done.remaps[-1] == "effort high sent as thinking off: the output limit of 1500 leaves no room for more"
    assert done.sent == {"effort": "none"}


def test_a_number_below_the_least_is_raised_to_it() -> None:
    """A budget of fewer than 1,024 tokens would be refused."""
    done = messages("claude-haiku-4-5", Wish(thinking_tokens=100), 64_000)
    assert done.changes["thinking"]["budget_tokens"] == 1024
    assert done.remaps == ("100 thinking tokens sent as 1024: the least this model takes",)


def test_an_adaptive_model_takes_the_level_and_a_number_becomes_one() -> None:
    """Effort goes out as ``output_config.effort``; a number becomes the level below it, beside the client's format."""
    done = messages("claude-opus-4-8", Wish("xhigh"), output_config={"format": {"type": "json_schema"}})
    assert done.changes == {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"format": {"type": "json_schema"}, "effort": "xhigh"},
    }
    assert done.remaps == ()
    number = messages("claude-opus-4-8", Wish(thinking_tokens=10_000))
    assert number.sent == {"effort": "medium"}
    assert number.remaps == ("10000 thinking tokens sent as effort medium: this model takes no number",)


def test_opus_4_5_takes_both() -> None:
    """The one model that has effort but no adaptive thinking is sent a number and the level."""
    done = messages("claude-opus-4-5", Wish("low"), 64_000)
    assert done.changes["thinking"]["budget_tokens"] == 1024
    assert done.changes["output_config"] == {"effort": "low"}


def test_the_clients_display_is_kept() -> None:
    """How thinking is shown is the client's to say."""
    done = messages("claude-opus-5", Wish("low"), thinking={"type": "adaptive", "display": "omitted"})
    assert done.changes == {"output_config": {"effort": "low"}}


def test_off_is_said_in_the_models_own_way() -> None:
    """Nothing where that is the default, disabled, between_tools at Sonnet 5.5, or else the lowest level."""
    off = Wish("none")
    assert messages("claude-opus-4-8", off).changes == {}
    assert messages("claude-opus-4-8", off, thinking={"type": "adaptive"}).removals == ("thinking",)
    assert messages("claude-opus-5", off).changes["thinking"] == {"type": "disabled"}
    assert messages("claude-sonnet-5-5", off).changes["thinking"] == {"type": "between_tools"}
    always = messages("claude-opus-5-5", off)
    assert always.sent == {"effort": "low"}
    assert always.remaps == ("thinking off asked, but this model always thinks: sent effort low",)


def test_off_takes_the_clients_effort_away() -> None:
    """Some models refuse a high effort beside disabled thinking, so none is left."""
    done = messages("claude-opus-5", Wish(thinking_tokens=0), output_config={"effort": "max"})
    assert done.removals == ("output_config",)


def test_a_forced_tool_comes_before_the_wish_to_think() -> None:
    """A budgeted model is not asked to think about a forced call; one that cannot be forced is let choose."""
    forced = {"tools": [TOOL], "tool_choice": {"type": "any"}}
    done = messages("claude-haiku-4-5", Wish("high"), 64_000, **forced)
    assert (done.changes, done.sent) == ({}, {"effort": "none"})
    assert done.remaps == (
        (
            "effort high sent as thinking off: "
            "the request forces a tool call, which this model takes only without thinking"
        ),
    )
    free = messages("claude-sonnet-5-5", Wish("high"), **forced)
    assert free.changes["tool_choice"] == {"type": "auto"}
    one = {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True}}
    kept = messages("claude-sonnet-5-5", Wish("high"), **one)
    assert kept.changes["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice sent as auto: this model cannot be forced to call a tool" in free.remaps


def test_sampling_goes_where_thinking_comes() -> None:
    """Sampling parameters that would be refused are dropped and named; values that say nothing are dropped quietly."""
    done = messages("claude-haiku-4-5", Wish("low"), 64_000, temperature=0.2, top_k=5, top_p=1)
    assert set(done.removals) == {"temperature", "top_k", "top_p"}
    assert done.remaps[-2:] == (
        "temperature dropped: not taken while thinking",
        "top_k dropped: not taken while thinking",
    )
    assert messages("claude-haiku-4-5", Wish("none"), temperature=0.2).removals == ()
    never = messages("claude-opus-5", Wish("none"), temperature=0.2)
    assert never.removals == ("temperature",)
    assert never.remaps == ("temperature dropped: not taken by this model",)


def test_a_begun_answer_comes_before_the_wish_or_goes() -> None:
    """Where prefill and thinking exclude each other thinking yields; where prefill is not taken at all it goes."""
    begun = [USER, {"role": "assistant", "content": "Because"}]
    kept = messages("claude-haiku-4-5", Wish("low"), 64_000, messages=begun)
    assert kept.sent == {"effort": "none"}
    gone = messages("claude-opus-5", Wish("low"), messages=[*begun, begun[-1]])
    assert gone.changes["messages"] == [USER]
    assert "the begun answer at the end of the conversation dropped: not taken by this model" in gone.remaps


def test_thinking_cannot_begin_in_the_middle_of_a_tool_turn() -> None:
    """When the call that a result answers was made without thinking, none begins now; an always-on model is let be."""
    turn = [
        USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]},
    ]
    done = messages("claude-sonnet-4-6", Wish("high"), messages=turn, tools=[TOOL])
    assert (done.changes, done.sent) == ({}, {"effort": "none"})
    assert messages("claude-opus-5", Wish("high"), messages=turn, tools=[TOOL]).changes == {
        "thinking": {"type": "disabled"}
    }
    always = messages("claude-opus-5-5", Wish("high"), messages=turn, tools=[TOOL])
    assert always.changes == {"output_config": {"effort": "high"}}
    thought = [{"type": "thinking", "thinking": "hm", "signature": "s"}, *turn[1]["content"]]  # type: ignore[misc]
    begun = [USER, {"role": "assistant", "content": thought}, turn[2]]
    assert messages("claude-sonnet-4-6", Wish("high"), messages=begun, tools=[TOOL]).sent == {"effort": "high"}


def test_openai_takes_the_level_where_each_api_has_it() -> None:
    """Chat has ``reasoning_effort`` and no max; Responses has ``reasoning.effort``, beside the client's summary."""
    assert chat("openai", "gpt-6-sol", Wish("high")).changes == {"reasoning_effort": "high"}
    capped = chat("openai", "gpt-6-sol", Wish("max"))
    assert capped.changes == {"reasoning_effort": "xhigh"}
    assert capped.remaps == ("effort max sent as xhigh: the highest this model takes in Chat Completions",)
    body = {"model": "gpt-6-sol", "input": "Why?", "reasoning": {"summary": "auto"}}
    done = actuate(find("openai", "gpt-6-sol"), RESPONSES, body, Wish("max"))
    assert done.changes == {"reasoning": {"summary": "auto", "effort": "max"}}
    assert done.remaps == ()


def test_tools_in_chat_cost_newer_models_their_thinking() -> None:
    """GPT-5.4 and later take function tools in Chat only at effort none, which is sent and said."""
    done = chat("openai", "gpt-5.4", Wish("high"), tools=[FUNCTION])
    assert done.changes == {"reasoning_effort": "none"}
    assert done.remaps[0].startswith(
        "effort high sent as thinking off: this model takes tools in Chat Completions only"
    )
    assert chat("openai", "gpt-5.2", Wish("high"), tools=[FUNCTION]).sent == {"effort": "high"}


def test_a_default_that_would_be_refused_is_switched_off() -> None:
    """Without a wish, a model that thinks by default is stopped where the request could not be served otherwise."""
    done = chat("openai", "gpt-5.6", Wish(), tools=[FUNCTION])
    assert done.changes == {"reasoning_effort": "none"}
    assert done.remaps[0].startswith("thinking switched off: ")
    assert chat("openai", "gpt-5.4", Wish(), tools=[FUNCTION]) == Actuation()


def test_the_output_limit_goes_by_the_name_that_the_model_knows() -> None:
    """Reasoning models refuse ``max_tokens``; the same limit under its newer name is no remap."""
    done = chat("openai", "gpt-5", Wish("low"), max_tokens=900)
    assert (done.changes["max_completion_tokens"], done.removals, done.remaps) == (900, ("max_tokens",), ())


def test_openai_samples_only_without_reasoning() -> None:
    """Temperature goes while effort is on, stays at none, and always goes where effort cannot be none."""
    assert chat("openai", "gpt-5.4", Wish("low"), temperature=0).removals == ("temperature",)
    assert chat("openai", "gpt-5.4", Wish("none"), temperature=0).removals == ()
    assert chat("openai", "gpt-5", Wish(), temperature=0).removals == ("temperature",)


def test_gemini_2_5_gets_a_number_within_its_range() -> None:
    """Levels become Google's own numbers, within what the model takes; Pro cannot stop."""
    config = {"include_thoughts": True, "thinking_budget": 24_576}
    done = chat("gemini", "gemini-2.5-flash", Wish("max"), extra_body={"google": {"cached_content": "c"}})
    assert done.changes == {"extra_body": {"google": {"cached_content": "c", "thinking_config": config}}}
    assert done.remaps == ("effort max sent as 24576 thinking tokens: this model takes a number",)
    assert chat("gemini", "gemini-2.5-pro", Wish("none")).sent == {"thinking_tokens": 128}
    assert chat("gemini", "gemini-2.5-flash", Wish("none")).sent == {"effort": "none"}


def test_a_model_that_cannot_stop_thinks_its_least_where_there_is_no_room() -> None:
    """An output limit without room for a budget leaves an always-on model the least it takes."""
    done = chat("gemini", "gemini-2.5-pro", Wish("high"), 100, max_tokens=100)
    assert done.sent == {"thinking_tokens": 128}
    assert done.remaps[-1].endswith("and this model always thinks")


def test_gemini_3_gets_a_level() -> None:
    """The levels that a model lacks become the nearest it has."""
    assert chat("gemini", "gemini-3-flash-preview", Wish("minimal")).remaps == ()
    done = chat("gemini", "gemini-3.8-flash", Wish("minimal"))
    assert done.changes["extra_body"]["google"]["thinking_config"]["thinking_level"] == "low"
    assert done.remaps == ("effort minimal sent as low: the lowest this model takes",)


def test_deepseek_is_told_both_type_and_effort() -> None:
    """Thinking is switched by ``thinking.type`` and graded by ``reasoning_effort``."""
    assert chat("deepseek", "deepseek-v4-pro", Wish("max")).changes == {
        "thinking": {"type": "enabled"},
        "reasoning_effort": "max",
    }
    off = chat("deepseek", "deepseek-v4-pro", Wish("none"), reasoning_effort="high")
    assert (off.changes, off.removals) == ({"thinking": {"type": "disabled"}}, ("reasoning_effort",))
    forced = chat("deepseek", "deepseek-v4-pro", Wish("max"), tools=[FUNCTION], tool_choice="required")
    assert forced.changes == {"thinking": {"type": "disabled"}}


def test_qwen_gets_a_number_and_thinks_only_in_streams_where_it_must() -> None:
    """The budget does not count toward the output limit; open weights answer whole only without thinking."""
    done = chat("dashscope", "qwen-plus", Wish(thinking_tokens=9000), max_tokens=100)
    assert done.changes == {"enable_thinking": True, "thinking_budget": 9000}
    assert chat("dashscope", "qwen3-8b", Wish("low")).changes == {"enable_thinking": False}
    assert chat("dashscope", "qwen3-8b", Wish("low"), stream=True).changes["enable_thinking"] is True
    assert chat("dashscope", "qwen3-8b", Wish()).changes == {"enable_thinking": False}


def test_levels_that_do_not_exist_are_never_taken_for_off() -> None:
    """Mistral has only none and high: low is high, and none stays none."""
    done = chat("mistral", "mistral-medium-latest", Wish("low"))
    assert done.changes == {"reasoning_effort": "high"}
    assert done.remaps == ("effort low sent as high: the lowest this model takes",)


def test_what_grok_refuses_is_dropped() -> None:
    """Penalties and stop sequences are refused by Grok at every level."""
    done = chat("xai", "grok-4.5", Wish("none"), stop=["x"], presence_penalty=0.5)
    assert done.removals == ("presence_penalty", "stop")
    assert done.sent == {"effort": "low"}


def test_openrouter_gets_either_a_level_or_a_number() -> None:
    """Both forms are taken, never together."""
    assert chat("openrouter", "a/b", Wish("high"), reasoning={"max_tokens": 5, "exclude": True}).changes == {
        "reasoning": {"exclude": True, "effort": "high"}
    }
    assert chat("openrouter", "a/b", Wish(thinking_tokens=3000)).changes == {"reasoning": {"max_tokens": 3000}}


def test_vllm_gets_its_own_number_in_both_dialects() -> None:
    """``thinking_token_budget`` in Chat, Anthropic's budget in Messages; no limit for max."""
    done = chat("vllm", "Qwen/Qwen3-8B", Wish(thinking_tokens=500), chat_template_kwargs={"x": 1})
    assert done.changes == {
        "thinking_token_budget": 500,
        "chat_template_kwargs": {"x": 1, "enable_thinking": True},
    }
    most = chat("vllm", "Qwen/Qwen3-8B", Wish("max"), thinking_token_budget=5)
    assert (most.removals, most.sent) == (("thinking_token_budget",), {"thinking": "on"})
    body = {"max_tokens": 4096, "messages": [USER]}
    anthropic = actuate(find("vllm", "m"), MESSAGES, body, Wish(thinking_tokens=2000))
    assert anthropic.changes == {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def test_vllm_without_a_parser_takes_no_number_and_answers_in_tags() -> None:
    """A number would be refused, so thinking is only switched on, and is looked for in the answer's text."""
    unparsed = replace(find("vllm", "m"), budget=None, shown=Shown.TAGGED)
    done = actuate(unparsed, CHAT, {"messages": [USER]}, Wish(thinking_tokens=500))
    assert done.changes == {"chat_template_kwargs": {"enable_thinking": True}}
    assert done.reads_tags
    assert not actuate(unparsed, CHAT, {"messages": [USER]}, Wish("none")).reads_tags
    assert done.remaps == ("500 thinking tokens sent as thinking on: this model takes neither level nor number",)


def test_a_model_that_cannot_be_set_is_left_alone_and_it_is_said() -> None:
    """A model that always thinks as it likes gets nothing, and the record says why."""
    done = chat("mistral", "magistral-small-latest", Wish("low"))
    assert (done.changes, done.sent) == ({}, {"thinking": "on"})
    assert done.remaps == ("effort low not sent: this model always thinks, and takes no setting",)


@pytest.mark.parametrize("system", [None, "Be brief.", [{"type": "text", "text": "Be brief."}]])
def test_a_plain_model_is_asked_to_think_by_a_prompt(system: Any) -> None:
    """The prompt stands before the client's own system text, in one system message, in every dialect."""
    first = [] if system is None else [{"role": "system", "content": system}]
    done = actuate(find("x", "m"), CHAT, {"messages": [*first, USER]}, Wish("low"))
    told = done.changes["messages"]
    assert [turn["role"] for turn in told] == ["system", "user"]
    assert "<think>" in str(told[0]["content"])
    assert (system is None) or "Be brief." in str(told[0]["content"])
    assert done.reads_tags
    assert done.remaps == ("effort low sent as a system prompt: this model does not think by itself",)
    body = {"messages": [USER], "max_tokens": 50, **({"system": system} if system else {})}
    anthropic = actuate(find("x", "m"), MESSAGES, body, Wish(thinking_tokens=3000))
    assert "2000 words" in str(anthropic.changes["system"])
    responses = actuate(find("x", "m"), RESPONSES, {"input": "Why?", "instructions": "Be brief."}, Wish("low"))
    assert responses.changes["instructions"].endswith("Be brief.")


def test_a_plain_model_is_not_asked_where_tags_have_no_place() -> None:
    """An answer that must be JSON has no place for tags; and no thinking needs no prompt."""
    done = chat("x", "m", Wish("low"), response_format={"type": "json_object"})
    assert (done.changes, done.reads_tags) == ({}, False)
    assert done.remaps == (
        "effort low sent as thinking off: the answer must have a form that leaves no place for tags",
    )
    assert chat("x", "m", Wish("none")).changes == {}


def test_a_wish_is_checked() -> None:
    """An unknown effort and a negative number are refused where the wish is made."""
    with pytest.raises(ValueError, match="none, minimal, low"):
        Wish("much")
    with pytest.raises(ValueError, match="0 or more"):
        Wish(thinking_tokens=-1)


@pytest.mark.parametrize("odd", [[], {}, [[]]], ids=["a list", "an object", "lists"])
def test_odd_members_are_passed_over(odd: Any) -> None:
    """What a client wrote into a type is its upstream's to refuse, and never a fault of ours."""
    for body in (
        {"tool_choice": {"type": odd}},
        {"tool_choice": odd},
        {"thinking": {"type": odd}},
        {"response_format": {"type": odd}, "text": {"format": {"type": odd}}},
    ):
        for wish in (Wish(), Wish("high"), Wish("none")):
            assert messages("claude-haiku-4-5", wish, 64_000, **body).requested == wish.record
            assert chat("local", "plain-model", wish, **body).requested == wish.record
