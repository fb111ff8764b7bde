"""Shadow samples: which prompts are read and drawn, and how answers are judged."""

from __future__ import annotations

import pytest

from kat_metering import shadow_judge
from kat_metering.shadow import Message, Prompt, PromptFileError, Verdict, drawn, read_prompts, verdict_by_reference

LINE = b'{"messages": [{"role": "user", "content": "2 + 2?"}], "consent": true, "task": "sums", "reference": "4"}'
PROMPTS = [Prompt(messages=[Message(role="user", content=str(number))]) for number in range(10_000)]


def test_a_line_is_a_prompt_and_empty_lines_are_none() -> None:
    [prompt] = read_prompts([b"\n", LINE, b"  \n"])
    assert (prompt.messages[0].content, prompt.consent, prompt.task, prompt.reference) == ("2 + 2?", True, "sums", "4")


def test_consent_is_never_assumed() -> None:
    [prompt] = read_prompts([b'{"messages": [{"role": "user", "content": "hi"}]}'])
    assert prompt.consent is False


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "line 2: "),
        (b'{"messages": []}', "line 2: messages: "),
        (b'{"messages": [{"role": "user"}], "consnt": true}', "line 2: consnt: "),
    ],
)
def test_a_line_that_is_no_prompt_is_named(line: bytes, said: str) -> None:
    with pytest.raises(PromptFileError, match=f"^{said}"):
        list(read_prompts([LINE, line]))


def test_the_error_does_not_quote_the_prompt() -> None:
    with pytest.raises(PromptFileError) as caught:
        list(read_prompts([b'{"messages": "a secret", "consent": true}']))
    assert "a secret" not in str(caught.value)


def test_about_the_share_asked_for_is_drawn() -> None:
    assert 150 < len(list(drawn(PROMPTS, 0.02, seed=1))) < 250


def test_a_seed_draws_the_same_prompts_again_and_another_others() -> None:
    first, again, other = (list(drawn(PROMPTS, 0.02, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_whole_is_drawn_at_a_share_of_1() -> None:
    assert list(drawn(PROMPTS, 1, seed=1)) == PROMPTS


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ("4", "4", Verdict.SAME),
        (" four\n", "Four", Verdict.SAME),
        ("5", "6", Verdict.SAME),
        ("4", "5", Verdict.BETTER),
        ("5", "4", Verdict.WORSE),
    ],
)
def test_with_a_reference_an_answer_is_right_or_wrong(ours: str, theirs: str, verdict: Verdict) -> None:
    assert verdict_by_reference("four" if "our" in ours else "4", ours, theirs) is verdict


@pytest.mark.parametrize(
    ("reply", "vote"),
    [
        ("FIRST", 1),
        ("Second.", -1),
        ("equal", 0),
        ("I think FIRST, since FIRST is right", 1),
        ("FIRST or SECOND", None),
        ("firstly", None),
        ("", None),
    ],
)
def test_a_vote_is_one_of_three_words(reply: str, vote: int | None) -> None:
    assert shadow_judge.vote(reply) == vote


@pytest.mark.parametrize(
    ("ours_first", "ours_second", "verdict"),
    [
        (1, -1, Verdict.BETTER),
        (-1, 1, Verdict.WORSE),
        (0, 0, Verdict.SAME),
        (1, 0, Verdict.BETTER),
        (0, 1, Verdict.WORSE),
        # Always the first place, or always the second: that says nothing of the answers.
        (1, 1, Verdict.SAME),
        (-1, -1, Verdict.SAME),
        (None, -1, None),
        (1, None, None),
    ],
)
def test_two_votes_in_either_order_make_a_verdict(
    ours_first: int | None, ours_second: int | None, verdict: Verdict | None
) -> None:
    assert shadow_judge.verdict(ours_first, ours_second) is verdict


def test_the_judge_sees_the_conversation_and_both_answers() -> None:
    [_, asked] = shadow_judge.question([Message(role="user", content="2 + 2?")], "it is 4", "it is 5")
    assert [asked["content"].count(text) for text in ("2 + 2?", "it is 4", "it is 5")] == [1, 1, 1]
    assert asked["content"].index("it is 4") < asked["content"].index("it is 5")
