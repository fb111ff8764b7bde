"""Drive one request through its phases: judge, think, answer. Does no I/O: it says what to generate next.

The caller loops:

    call = driver.start()
    while call is not None:
        ...generate as the call says, and for each chunk: driver.feed(text, tokens, marks)
        ...close the generator early when driver.interrupted
        deltas, call = driver.end(finish_reason)

and calls `driver.close()` when the request ends in any other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from kat.usage_event import Mode, ModeAsked, ModeSource, Segment
from kat_predictor.autothink.attribution import Attribution, Delta
from kat_predictor.autothink.grammar import JUDGE_OPEN, prefill
from kat_predictor.autothink.judge import CHOICES, MAX_JUDGEMENT_TOKENS, ON_BIAS, JudgementLine
from kat_predictor.autothink.mode import ModeChoice
from kat_predictor.autothink.parser import Parser
from kat_predictor.autothink.stop_strings import StopStrings

FinishReason = Literal["stop", "length"]
Style = Literal["native", "emulated", "plain"]
"""`native`: the model judges, and its prompt ends inside the judge. `emulated`: a chat model that is asked to judge
first. `plain`: no grammar at all, everything is answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the engine.

    Its context is that of the previous call of the same `prompt`, with the tokens generated there (less an
    end-of-sequence token at their end), or else the freshly rendered prompt; followed by `insert`.
    """

    insert: str
    """Text that the server appends to the context before generating: never billed."""
    max_tokens: int
    choices: tuple[str, ...] = ()
    """If set, exactly one token is drawn, greedily, from the first tokens of these texts, each encoded alone."""
    choice_bias: tuple[float, ...] = ()
    """Added to the logits of these first tokens; as many as choices."""
    prompt: Literal["chat", "judge"] = "chat"
    """`chat`: the user's messages. `judge`: the scaffold around the question, `judge.judge_messages`."""
    greedy: bool = False


class _Phase(Enum):
    JUDGE = auto()
    CHOICE = auto()
    CHAT = auto()
    PLAIN = auto()
    DONE = auto()


class Driver:
    """Sans-I/O state of one request. Takes four calls at most: judge, choice, chat, and the answer after a thought."""

    def __init__(
        self, style: Style, choice: ModeChoice, *, max_tokens: int, stop: Sequence[str] = (), on_bias: float = ON_BIAS
    ) -> None:
        """Prepare a request.

        Args:
            style: What kind of model answers. With `plain` nothing is chosen and the mode is off.
            choice: The mode to bring about and who chose it.
            max_tokens: Tokens of all phases together; positive.
            stop: Stop strings; they apply to the answer alone.
            on_bias: The emulated judge's inclination to think, a logit.

        Raises:
            ValueError: max_tokens is not positive, or a stop string is empty.
        """
        if max_tokens <= 0:
            raise ValueError("max_tokens must be positive")
        self._style = style
        self._choice = choice
        self._max_tokens = max_tokens
        self._on_bias = on_bias
        self._stops = StopStrings(stop)
        self._phase = _Phase.DONE
        self._parser = Parser(Segment.JUDGE)
        self._line = JudgementLine()
        self._whole = Attribution()  # for text that is of one segment altogether
        self._chosen = ""
        self._used = 0
        self.mode = Mode.UNDECIDED
        """UNDECIDED until known; then it stays."""
        self.mode_source: ModeSource = choice.source
        self.tokens: dict[Segment, int] = dict.fromkeys(
            (Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL), 0
        )
        """Tokens fed so far, by segment; complete once the last `end`, or `close`, has been called."""
        self.budget_exhausted = False
        self.finish_reason: FinishReason | None = None
        """Set when the request has ended by itself."""
        self.interrupted = False
        """The current call has served its purpose: close it, and call `end`."""

    def start(self) -> Call:
        """The first call."""
        asked = self._choice.asked
        if self._style == "plain":
            self._phase = _Phase.PLAIN
            self.mode = Mode.OFF
            return Call("", self._max_tokens)
        if asked is not ModeAsked.AUTO:
            return self._chat(Mode.ON if asked is ModeAsked.ON else Mode.OFF)
        if self._style == "native":
            self._phase = _Phase.CHAT
            self._parser = Parser(Segment.JUDGE)
            return Call("", self._max_tokens)
        self._phase = _Phase.JUDGE
        return Call(f"{JUDGE_OPEN}\n", min(MAX_JUDGEMENT_TOKENS, self._max_tokens), prompt="judge", greedy=True)

    def feed(self, text: str, tokens: int, marks: Sequence[object] = ()) -> list[Delta]:
        """Take in what a call generated; give out what is certain now.

        Raises:
            ValueError: There are marks, and not one for each token; or the request has ended.
        """
        self._used += tokens
        match self._phase:
            case _Phase.JUDGE:
                deltas = self._line.feed(text, tokens, marks)
                self.interrupted = self._line.complete
            case _Phase.CHOICE:
                self._chosen += text
                deltas = self._all(Segment.CONTROL, text, tokens, marks)
            case _Phase.PLAIN:
                deltas = self._all(Segment.ANSWER, text, tokens, marks)
            case _Phase.CHAT:
                deltas = self._parser.feed(text, tokens, marks)
                # A chat model that closes its answer only copies the grammar; what it would add is not meant for users.
                self.interrupted = self._style == "emulated" and self._parser.answer_ended
            case _Phase.DONE:
                raise ValueError("the request has ended")
        deltas = self._account(deltas)
        self._watch_budget()
        return deltas

    def end(self, finish_reason: FinishReason | None) -> tuple[list[Delta], Call | None]:
        """The call has ended: what was held back, and the next call, if there is one.

        Args:
            finish_reason: The engine's; None only for a call that was closed because of `interrupted`.

        Raises:
            ValueError: There is no finish reason and the call was not to be interrupted; or the engine drew a token
                that is none of the choices.
        """
        if finish_reason is None and not self.interrupted:
            raise ValueError("a call that was not interrupted must end with a reason")
        if self._stops.hit:
            return self._finish("stop")
        exhausted = self.interrupted and self._phase is _Phase.CHAT
        self.interrupted = False
        match self._phase:
            case _Phase.JUDGE:
                return self._after_judgement()
            case _Phase.CHOICE:
                return self._after_choice(finish_reason)
            case _Phase.CHAT if not self._parser.answer_begun and (exhausted or finish_reason == "stop"):
                # Also a thought that ended by itself: a chat model without the grammar does not know how to go on.
                return self._answer_next()
            case _:
                return self._finish(finish_reason or "stop")

    def close(self) -> list[Delta]:
        """The request ends here, for whatever reason: what was held back. Does nothing after the last `end`."""
        phase, self._phase = self._phase, _Phase.DONE
        deltas = []
        if phase is _Phase.JUDGE:
            deltas = self._line.finish()
        elif phase is _Phase.CHAT:
            deltas = self._parser.finish()
        self._whole.settle()
        return self._account([*deltas, *self._whole.take()], last=True)

    def _chat(self, mode: Literal[Mode.ON, Mode.OFF], judgement: str = "") -> Call:
        self.mode = mode
        self._phase = _Phase.CHAT
        self._parser = Parser(Segment.THINK if mode is Mode.ON else Segment.ANSWER)
        return Call(
            prefill(mode, judgement, judge_is_open=self._style == "native"), max_tokens=self._max_tokens - self._used
        )

    def _after_judgement(self) -> tuple[list[Delta], Call | None]:
        deltas = self._account(self._line.finish())
        if self._used >= self._max_tokens:
            rest, call = self._finish("length")
            return [*deltas, *rest], call
        self._phase = _Phase.CHOICE
        bias = (self._on_bias, 0.0)
        return deltas, Call(
            self._line.way_to_choice(), 1, choices=CHOICES, choice_bias=bias, prompt="judge", greedy=True
        )

    def _after_choice(self, finish_reason: FinishReason | None) -> tuple[list[Delta], Call | None]:
        chosen: Literal[Mode.ON, Mode.OFF]
        if not self._chosen and finish_reason == "length":
            # The scaffold filled the context, so that nothing could be drawn. The user's own prompt may still have room.
            chosen = Mode.OFF
        else:
            named = [choice for choice in CHOICES if self._chosen and choice.startswith(self._chosen)]
            if len(named) != 1:
                raise ValueError(f"the engine drew {self._chosen!r} where one of {CHOICES} was asked for")
            chosen = Mode.ON if named == ["on"] else Mode.OFF
        self.mode = chosen
        if self._used >= self._max_tokens:
            return self._finish("length")
        self._whole.settle()
        deltas = self._account(self._whole.take())
        return deltas, self._chat(chosen, self._line.text)

    def _answer_next(self) -> tuple[list[Delta], Call | None]:
        if self._used >= self._max_tokens:
            return self._finish("length")
        insert = self._parser.way_to_answer()
        deltas = self._account(self._parser.insert(insert))
        return deltas, Call(insert, self._max_tokens - self._used)

    def _finish(self, reason: FinishReason) -> tuple[list[Delta], None]:
        self.finish_reason = reason
        return self.close(), None

    def _all(self, segment: Segment, text: str, tokens: int, marks: Sequence[object]) -> list[Delta]:
        self._whole.add(text, tokens, marks)
        self._whole.classify(segment, len(text))
        return self._whole.take()

    def _account(self, deltas: list[Delta], *, last: bool = False) -> list[Delta]:
        """Count tokens, note the mode, and cut the answer at a stop string."""
        if self._style == "native" and self.mode is Mode.UNDECIDED:
            self.mode = self._parser.mode
        shown = []
        for delta in deltas:
            self.tokens[delta.segment] += delta.tokens
            text = delta.text
            if delta.segment is Segment.ANSWER:
                text = self._stops.feed(text)
            elif withheld := self._stops.flush():
                shown.append(Delta(Segment.ANSWER, withheld, 0))
            if text or delta.tokens:
                shown.append(Delta(delta.segment, text, delta.tokens, delta.marks))
        if last and (withheld := self._stops.flush()):
            shown.append(Delta(Segment.ANSWER, withheld, 0))
        if self._stops.hit:
            self.interrupted = True
        return shown

    def _watch_budget(self) -> None:
        budget = self._choice.think_budget
        if budget is None or self._phase is not _Phase.CHAT or self._parser.segment is not Segment.THINK:
            return
        # Tokens that the parser still holds back count: they are thought, or the beginning of the tag that ends it.
        if self.tokens[Segment.THINK] + self._parser.pending_tokens >= budget:
            self.budget_exhausted = True
            self.interrupted = True
