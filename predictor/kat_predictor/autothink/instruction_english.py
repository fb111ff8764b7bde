"""English instructions about thinking: a phrase must stand where an imperative can stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Found, opposite, rule, words_before

_STEPS: Final = (
    r"step[- ]by[- ]step(?! (?:guides?|tutorials?|instructions?|plans?|recipes?|lists?|manuals?|approach to|how to))"
)
_OBJECT: Final = r"(?: [^ ]+){0,12}?"
_WITH_CARE: Final = (
    r"(?:(?:very|really|more|extra|long and) )*(?:carefully|deeply|hard|harder|longer|thoroughly|slowly|twice)\b"
)
_THOUGHT: Final = r"(?:thinking|reasoning|chain[- ]of[- ]thought|thought process|deliberation)\b"
_SOME: Final = r"(?:(?:any|all|the|your|further|more|much|too much|long|extended|extra|detailed|of|doing|using) )*"
_RESULT: Final = r"(?:the |your |a )?(?:final |numeric |numerical |correct )?(?:answer|result|number|solution|conclusion|letter|option)\b"
_REFUSAL: Final = (
    r"(?:don't|do not|dont|never|no need to|needn't|need not|stop|quit"
    r"|(?:don't|do not|dont) (?:need|have|try|bother|even need|want you) to)"
)

_RULES: Final = (
    rule(
        Mode.ON,
        (
            rf"\bthink (?:about (?:it|this) )?(?:{_WITH_CARE}|{_STEPS}|before (?:you )?(?:answer|respond|reply)|out loud\b|aloud\b)",
            r"\bthink (?:(?!about|of)[^ ]+ ){1,4}through\b",
            r"\bthink through\b",
            rf"\breason (?:{_WITH_CARE}|{_STEPS}|through\b|(?:about )?(?:it|this) (?:out|through|carefully)|first\b|before\b)",
            r"\b(?:carefully|deeply|thoroughly) (?:think|reason|consider|work)\b",
            rf"\b(?:solve|work|calculate|compute|derive|prove|analy[sz]e|figure|answer|do (?:it|this|that|so)|go|proceed|evaluate|approach|tackle|debug|consider|reason|think){_OBJECT} {_STEPS}",
            rf"^{_STEPS}(?: please)?$",
            r"\btake (?:your|all the) time\b(?! off)",
            r"\bshow (?:me )?(?:all )?(?:of )?your (?:full |whole )?(?:reasoning|work|working|workings|thinking|thought process|chain[- ]of[- ]thought|steps)\b",
            rf"\b(?:use|give|provide|write out|include) (?:me )?(?:your |a |some |the )?(?:(?:deep|careful|extended|detailed|thorough|full|step[- ]by[- ]step|chain[- ]of[- ]thought) )+{_THOUGHT}",
            r"\buse chain[- ]of[- ]thought\b",
            r"\b(?:don't|do not) rush\b",
        ),
    ),
    rule(
        Mode.OFF,
        (
            r"\b(?:answer|respond|reply)(?: [^ ]+){0,4}? (?:directly|straight ?away|immediately|right away|at once|instantly)\b",
            r"\b(?:give|tell) me(?: [^ ]+){0,4}? (?:directly|straight ?away|immediately|right away|at once)\b",
            r"\bdirectly (?:answer|respond|reply|tell me|give me)\b",
            r"\bjust (?:answer|respond|reply)\b(?! (?:questions|calls|emails))",
            r"\b(?:give|tell) me (?:a |the )?(?:straight|direct|quick|immediate) answer\b",
            r"\b(?:get|go|come|skip|jump) (?:straight |directly |right )?to the answer\b",
            rf"{_REFUSAL} over-?think\b",
            rf"{_REFUSAL} (?:think|reason)\b(?! (?:that|of|i|you|we|they|he|she|it's|it is|this is|there|so|like|with|about (?!it\b|this\b)|[^ ]+ (?:is|are|was|were|will|would|should|can)\b))",
            rf"{_REFUSAL} (?:show|explain|write|include|give|output)(?:ing)? {_SOME}(?:reasoning|thinking|thought process|chain[- ]of[- ]thought)\b",
            rf"\b(?:skip|omit|avoid|drop|no need for|turn off|disable) {_SOME}{_THOUGHT}",
            rf"^(?:and |with )?no {_THOUGHT}(?= (?:please|needed|required|necessary|at all|just|and|allowed|or)\b|$)",
            rf"^without {_SOME}(?:{_THOUGHT}|explaining your|explanation of)",
            rf"\b(?:answer|respond|reply|tell|give|say|solve|compute|calculate|choose|pick|decide|name|output|return|do it|do this){_OBJECT} (?:without|with no) {_SOME}(?:{_THOUGHT}|overthinking\b|explaining (?:the |your )?reasoning|explanations? of (?:the |your )?reasoning)",
            rf"^i (?:don't|do not|dont) (?:need|want) {_SOME}(?:{_THOUGHT}|you to (?:think|reason)\b)(?! (?:model|skill|abilit))",
        ),
    ),
    rule(
        Mode.OFF,
        (
            rf"\bjust (?:give|tell|send|show|output|return|state|say) (?:me |us )?{_RESULT}",
            rf"\b(?:give|tell|provide|output|return|state|print|write|say|reply|respond|answer)(?: me| us)?(?: with)? (?:only|just) {_RESULT}",
            rf"\bonly (?:give|tell|provide|output|return|state|print|write|say|reply|respond|answer)(?: me| us)?(?: with)? {_RESULT}",
            r"^(?:the )?(?:final )?answer only\b",
            rf"^(?:only|just) {_RESULT}$",
        ),
        about_form=True,
    ),
)

_ADVERBS: Final = r"(?:please|pls|kindly|just|simply|really|always|also|only|now|then|first|carefully|briefly|to)"
_ADDRESSED: Final = re.compile(
    rf"(?:^|.* )(?:please|pls|kindly|just|and|then|now|so|but|instead|also|first|simply|ok|okay|hey|or"
    rf"|you|(?:can|could|would|will) you|let's|let us|lets|make sure|be sure|try|remember|there's|there is|it's)"
    rf"(?: (?:should|must|can|may|need|have|{_ADVERBS}))*$"
)
_ABOUT_OTHERS: Final = re.compile(
    rf"\b(?:i|we|they|he|she|it|people|who|students?|everyone|someone|me|him|her|them|us|why|how|when|if|don't you|did you|do you)"
    rf"(?: (?:should|must|can|could|may|need|have|had|would|will|often|{_ADVERBS}))*$"
)
_WANTS_OF_ASSISTANT: Final = re.compile(r"\b(?:want|need|like|ask|asking) you to(?: (?:please|just|really|always))*$")
_NEGATED: Final = re.compile(
    r"(?:^|\s)(?:don't|do not|dont|never|no need to|needn't|need not|not|without|instead of|rather than|avoid|stop"
    r"|(?:don't|do not|dont) (?:need|have|want you) to)(?: (?:just|simply|even|always|ever))*$"
)
_SEQUENCE: Final = re.compile(r"\b(?:then|finally|afterwards|at the end)\b")


def find(clause: str) -> Iterator[Found]:
    """Instructions in one clause: lower case, single spaces."""
    for each in _RULES:
        for match in each.phrase.finditer(clause):
            before = words_before(clause, match)
            negation = _NEGATED.search(before)
            addressed = before[: negation.start()].strip() if negation else before
            if not _said_to_assistant(addressed):
                continue
            if each.mode is Mode.OFF and not negation and _SEQUENCE.search(before):
                continue  # "..., then answer directly" says what comes after the thought
            yield Found(opposite(each.mode) if negation else each.mode, match.end(), each.about_form)


def _said_to_assistant(before: str) -> bool:
    if not before or _WANTS_OF_ASSISTANT.search(before):
        return True
    return bool(_ADDRESSED.match(before)) and not _ABOUT_OTHERS.search(before)
