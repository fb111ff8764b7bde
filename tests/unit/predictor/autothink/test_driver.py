"""How one request goes through its phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, ModeAsked, ModeSource, Segment
from kat_predictor.autothink.driver import Call, Driver, FinishReason, Style
from kat_predictor.autothink.mode import ModeChoice
from kat_predictor.autothink.parser import Delta

JUDGE, THINK, ANSWER, CONTROL = Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL
AUTO = ModeChoice(ModeAsked.AUTO, ModeSource.MODEL)
ON = ModeChoice(ModeAsked.ON, ModeSource.REQUEST)
OFF = ModeChoice(ModeAsked.OFF, ModeSource.INSTRUCTION)

NATIVE_ON = ["hard", "\n</judge>", "\n\n<think_on>", "\n<think>\n", "hm", " hm", "\n</think>", "\n\n<answer>\n", "42"]
NATIVE_OFF = ["easy", "\n</judge>", "\n\n<think_off>", "\n<answer>\n", "Pa", "ris"]


@dataclass
class Run:
    """What came of a request: one token a piece, and one more for the end of the sequence."""

    driver: Driver
    calls: list[Call] = field(default_factory=list)
    deltas: list[Delta] = field(default_factory=list)
    generated: int = 0

    def text(self, segment: Segment) -> str:
        return "".join(delta.text for delta in self.deltas if delta.segment is segment)

    @property
    def tokens(self) -> dict[str, int]:
        return {segment.value: count for segment, count in self.driver.tokens.items() if count}


def run(driver: Driver, *script: list[str]) -> Run:
    """Play a model that says one list of the script in each call, as far as it is let."""
    done = Run(driver)
    call: Call | None = driver.start()
    said = iter(script)
    while call is not None:
        done.calls.append(call)
        assert len(done.calls) <= 4
        words = [*next(said), ""]
        reason: FinishReason | None = "stop" if len(words) <= call.max_tokens else "length"
        for piece in words[: call.max_tokens]:
            done.generated += 1
            done.deltas += driver.feed(piece, 1)
            if driver.interrupted:
                reason = None
                break
        deltas, call = driver.end(reason)
        done.deltas += deltas
    return done


def driver(
    style: Style, choice: ModeChoice, *, max_tokens: int = 100, budget: int | None = None, stop: Sequence[str] = ()
) -> Driver:
    return Driver(style, ModeChoice(choice.asked, choice.source, budget), max_tokens=max_tokens, stop=stop)


def test_a_native_model_takes_one_call_to_judge_think_and_answer() -> None:
    done = run(driver("native", AUTO), NATIVE_ON)
    assert (done.text(JUDGE), done.text(THINK), done.text(ANSWER)) == ("hard", "hm hm", "42")
    assert done.calls == [Call("", 100)]
    assert (done.driver.mode, done.driver.mode_source) == (Mode.ON, ModeSource.MODEL)
    assert done.tokens == {"judge": 1, "think": 2, "answer": 1, "control": 6}


def test_a_native_model_may_judge_that_it_need_not_think() -> None:
    done = run(driver("native", AUTO), NATIVE_OFF)
    assert (done.driver.mode, done.text(ANSWER), done.driver.finish_reason) == (Mode.OFF, "Paris", "stop")


def test_the_mode_is_known_as_soon_as_its_tag_is() -> None:
    request = driver("native", AUTO)
    request.start()
    modes = []
    for piece in NATIVE_ON[:4]:
        request.feed(piece, 1)
        modes.append(request.mode)
    assert modes == [Mode.UNDECIDED, Mode.UNDECIDED, Mode.ON, Mode.ON]


def test_a_native_model_is_forced_to_think_by_prefill() -> None:
    done = run(driver("native", ON), ["hm", "\n</think>", "\n\n<answer>\n", "42"])
    assert done.calls[0].insert.endswith("\n</judge>\n\n<think_on>\n<think>\n")
    assert not done.calls[0].insert.startswith("<judge>")
    assert (done.driver.mode, done.driver.mode_source) == (Mode.ON, ModeSource.REQUEST)
    assert (done.text(THINK), done.text(ANSWER)) == ("hm", "42")


def test_a_native_model_is_forced_to_answer_by_prefill() -> None:
    done = run(driver("native", OFF), ["Paris", "\n</answer>"])
    assert done.calls[0].insert.endswith("\n</judge>\n\n<think_off>\n<answer>\n")
    assert (done.driver.mode, done.driver.mode_source, done.text(ANSWER)) == (
        Mode.OFF,
        ModeSource.INSTRUCTION,
        "Paris",
    )


def test_a_thought_at_its_budget_is_closed_and_answered() -> None:
    done = run(driver("native", AUTO, budget=1), NATIVE_ON, ["42"])
    assert done.calls[1] == Call("\n</think>\n\n<answer>\n", 100 - 5)
    assert (done.text(THINK), done.text(ANSWER), done.driver.budget_exhausted) == ("hm", "42", True)
    assert done.driver.finish_reason == "stop"


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    done = run(driver("native", AUTO, budget=3), NATIVE_ON)
    assert (len(done.calls), done.driver.budget_exhausted) == (1, False)


def test_a_closing_tag_that_has_begun_at_the_budget_is_finished() -> None:
    done = run(driver("native", ON, budget=2), ["hm", "\n</thi", "nk>"], ["42"])
    assert done.calls[1].insert == "nk>\n\n<answer>\n"
    assert (done.text(THINK), done.text(ANSWER)) == ("hm", "42")


def test_the_end_of_sequence_of_a_thought_is_control_and_an_answer_follows() -> None:
    done = run(driver("emulated", ON), ["hm"], ["42"])
    assert [call.insert for call in done.calls][1] == "\n</think>\n\n<answer>\n"
    assert done.tokens == {"think": 1, "answer": 1, "control": 2}
    assert (done.text(ANSWER), done.driver.finish_reason) == ("42", "stop")


def test_a_judge_that_ends_by_itself_is_closed_and_answered() -> None:
    done = run(driver("native", AUTO), ["I will", " say."], ["Paris"])
    assert done.calls[1].insert == "\n</judge>\n\n<think_off>\n<answer>\n"
    assert (done.text(JUDGE), done.text(ANSWER), done.driver.mode) == ("I will say.", "Paris", Mode.OFF)


def test_an_answer_that_is_empty_is_not_asked_for_again() -> None:
    done = run(driver("native", OFF), [])
    assert (len(done.calls), done.text(ANSWER), done.driver.finish_reason) == (1, "", "stop")


def test_a_chat_model_is_asked_to_judge_then_to_choose_then_to_think() -> None:
    done = run(driver("emulated", AUTO), ["Hard", " sum.", "\n"], ["on"], ["hm", "\n</think>", "\n<answer>\n", "42"])
    judge, choice, chat = done.calls
    assert (judge.prompt, judge.insert, judge.greedy, judge.max_tokens) == ("judge", "<judge>\n", True, 24)
    assert (choice.prompt, choice.insert, choice.max_tokens) == ("judge", "</judge>\n\n<think_", 1)
    assert (choice.choices, len(choice.choice_bias)) == (("on", "off"), 2)
    assert (chat.prompt, chat.insert) == ("chat", "<judge>\nHard sum.\n</judge>\n\n<think_on>\n<think>\n")
    assert (done.text(JUDGE), done.text(THINK), done.text(ANSWER)) == ("Hard sum.", "hm", "42")
    assert (done.driver.mode, done.driver.mode_source) == (Mode.ON, ModeSource.MODEL)


def test_a_chat_model_may_choose_to_answer_at_once() -> None:
    done = run(driver("emulated", AUTO), ["A fact."], ["off"], ["Paris"])
    assert done.calls[2].insert == "<judge>\nA fact.\n</judge>\n\n<think_off>\n<answer>\n"
    assert (done.driver.mode, done.text(ANSWER)) == (Mode.OFF, "Paris")


def test_a_chat_models_judge_may_say_nothing() -> None:
    done = run(driver("emulated", AUTO), [], ["off"], ["Paris"])
    assert "directly" in done.calls[2].insert


def test_a_chat_model_that_is_forced_is_not_asked_to_judge() -> None:
    done = run(driver("emulated", OFF), ["Paris"])
    assert [call.prompt for call in done.calls] == ["chat"]
    assert done.calls[0].insert.startswith("<judge>\n")


def test_a_chat_model_thinks_within_its_budget() -> None:
    done = run(driver("emulated", AUTO, budget=2), ["Hard."], ["on"], ["a", "b", "c"], ["42"])
    assert (done.text(THINK), done.text(ANSWER), len(done.calls)) == ("ab", "42", 4)


def test_a_chat_model_that_closes_its_answer_has_finished() -> None:
    done = run(driver("emulated", OFF), ["Paris", "\n</answer>", "\nA good answer."])
    assert (done.text(ANSWER), done.driver.finish_reason, done.generated) == ("Paris", "stop", 2)


def test_what_a_native_model_adds_to_its_answer_is_kept() -> None:
    done = run(driver("native", OFF), ["Paris", "\n</answer>", "\nAnd more."])
    assert done.text(ANSWER) == "ParisAnd more."


def test_a_choice_that_was_not_offered_is_an_error() -> None:
    with pytest.raises(ValueError, match="'maybe'"):
        run(driver("emulated", AUTO), ["Hard."], ["maybe"])


def test_a_judge_that_finds_no_room_in_the_context_leaves_it_at_the_answer() -> None:
    request = driver("emulated", AUTO)
    request.start()
    request.end("length")
    _, chat = request.end("length")
    assert chat is not None
    assert (chat.prompt, request.mode) == ("chat", Mode.OFF)


def test_all_phases_share_max_tokens() -> None:
    done = run(driver("emulated", AUTO, max_tokens=8), ["Hard", "."], ["on"], ["hm"], ["4", "2", "!"])
    # judge 2 and its end, choice 1, thought 1 and its end leave 2
    assert [call.max_tokens for call in done.calls] == [8, 1, 4, 2]
    assert (done.text(ANSWER), done.driver.finish_reason, sum(done.driver.tokens.values())) == ("42", "length", 8)


def test_a_thought_that_uses_all_tokens_ends_without_an_answer() -> None:
    done = run(driver("native", ON, max_tokens=2), ["a", "b", "c"])
    assert (done.text(THINK), done.text(ANSWER), done.driver.finish_reason) == ("ab", "", "length")


def test_a_budget_that_meets_max_tokens_ends_by_length() -> None:
    done = run(driver("native", ON, max_tokens=2, budget=2), ["a", "b", "c"])
    assert (len(done.calls), done.driver.finish_reason) == (1, "length")


def test_a_judge_that_uses_all_tokens_leaves_the_mode_undecided() -> None:
    done = run(driver("emulated", AUTO, max_tokens=2), ["a", "b", "c"])
    assert (done.driver.mode, done.driver.mode_source, done.driver.finish_reason) == (
        Mode.UNDECIDED,
        ModeSource.MODEL,
        "length",
    )


def test_an_answer_is_cut_at_a_stop_string_and_its_tokens_count() -> None:
    done = run(driver("native", OFF, stop=["END"]), ["Paris", " E", "ND more", " unread"])
    assert (done.text(ANSWER), done.driver.finish_reason) == ("Paris ", "stop")
    assert done.tokens == {"answer": 3}


def test_a_stop_string_in_a_thought_stops_nothing() -> None:
    done = run(driver("native", ON, stop=["hm"]), ["hm", "\n</think>\n<answer>\n", "42"])
    assert (done.text(THINK), done.text(ANSWER)) == ("hm", "42")


def test_a_beginning_of_a_stop_string_is_shown_when_the_answer_ends() -> None:
    done = run(driver("native", OFF, stop=["END"]), ["Paris EN"])
    assert done.text(ANSWER) == "Paris EN"


def test_a_beginning_of_a_stop_string_is_shown_before_the_closing_tag() -> None:
    done = run(driver("native", OFF, stop=["END"]), ["EN", "</answer>"])
    assert [(delta.segment, delta.text) for delta in done.deltas if delta.text] == [
        (ANSWER, "EN"),
        (CONTROL, "</answer>"),
    ]


def test_a_plain_completion_has_no_grammar() -> None:
    done = run(driver("plain", OFF, stop=["END"]), ["<think>\n", "x</answer>", " END"])
    assert (done.text(ANSWER), done.driver.mode, done.calls[0].insert) == ("<think>\nx</answer> ", Mode.OFF, "")


def test_a_request_that_is_closed_midway_accounts_what_was_fed() -> None:
    request = driver("native", ON)
    request.start()
    request.feed("hm\n</thi", 3)
    request.feed("", 1)
    deltas = request.close()
    assert "".join(delta.text for delta in deltas) == "\n</thi"
    assert (sum(request.tokens.values()), request.finish_reason) == (4, None)


def test_closing_twice_gives_nothing_more() -> None:
    request = driver("native", ON)
    request.start()
    request.feed("hm\n", 1)
    request.close()
    assert request.close() == []


def test_a_call_may_not_end_without_a_reason() -> None:
    request = driver("native", ON)
    request.start()
    with pytest.raises(ValueError, match="reason"):
        request.end(None)


def test_nothing_is_fed_after_the_end() -> None:
    request = run(driver("native", OFF), ["x"]).driver
    with pytest.raises(ValueError, match="ended"):
        request.feed("y", 1)


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_max_tokens_must_be_positive(max_tokens: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        driver("native", AUTO, max_tokens=max_tokens)


def test_marks_come_back_with_the_tokens_they_were_fed_with() -> None:
    request = driver("native", OFF)
    request.start()
    deltas = [*request.feed("Pa", 1, marks=("a",)), *request.feed("ris", 1, marks=("b",))]
    assert [delta.marks for delta in deltas] == [("a",), ("b",)]


STYLES: st.SearchStrategy[Literal["native", "emulated", "plain"]] = st.sampled_from(["native", "emulated", "plain"])
PIECES = st.one_of(
    st.sampled_from([*NATIVE_ON, *NATIVE_OFF, "\n", "<", "</think>", "</answer>", "<answer>", "END", "E"]),
    st.text(max_size=4),
)


@given(
    style=STYLES,
    choice=st.sampled_from([AUTO, ON, OFF]),
    max_tokens=st.integers(1, 40),
    budget=st.none() | st.integers(1, 10),
    stop=st.sampled_from([[], ["END"], ["E", "ND"]]),
    says=st.lists(st.lists(PIECES, max_size=12), min_size=4, max_size=4),
    chosen=st.sampled_from(["on", "off"]),
)
def test_any_model_is_accounted_to_the_token_and_brought_to_an_end(
    style: Style,
    choice: ModeChoice,
    max_tokens: int,
    budget: int | None,
    stop: list[str],
    says: list[list[str]],
    chosen: str,
) -> None:
    request = driver(style, choice, max_tokens=max_tokens, budget=budget, stop=stop)
    script = [says[0], [chosen], *says[2:]] if style == "emulated" and choice is AUTO else says
    done = run(request, *script)
    assert sum(request.tokens.values()) == done.generated == sum(delta.tokens for delta in done.deltas)
    assert done.generated <= max_tokens
    assert request.finish_reason is not None
