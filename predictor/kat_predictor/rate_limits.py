"""Token buckets: the rate limits of a tenant or a key. Pure; the caller brings the time."""

from __future__ import annotations

from kat.directory import Limits

_MINUTE = 60.0


class TokenBucket:
    """A bucket that holds what may be used in one minute and fills evenly.

    It may be overdrawn: what a request really used is known only when it ends, and what was too much is waited for.

    Args:
        per_minute: Capacity, and what flows in during a minute.
        now: Seconds on a clock that never goes back.
    """

    __slots__ = ("_filled_at", "_level", "_per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._level = float(per_minute)
        self._filled_at = now

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there; 0 when it is. More than the bucket holds waits for a full bucket."""
        self._fill(now)
        missing = min(amount, self._per_minute) - self._level
        return max(0.0, missing) * _MINUTE / self._per_minute

    def take(self, amount: float, now: float) -> None:
        """Use `amount`; a negative one gives back."""
        self._fill(now)
        self._level = min(float(self._per_minute), self._level - amount)

    def resize(self, per_minute: int, now: float) -> None:
        """Follow a changed limit. What was used stays used."""
        if per_minute == self._per_minute:
            return
        self._fill(now)
        used = self._per_minute - self._level
        self._per_minute = per_minute
        self._level = per_minute - used

    def _fill(self, now: float) -> None:
        self._level = min(float(self._per_minute), self._level + (now - self._filled_at) * self._per_minute / _MINUTE)
        self._filled_at = now


class RateLimits:
    """Requests and tokens per minute of a tenant or a key; a limit that is None is not there."""

    __slots__ = ("_requests", "_tokens")

    def __init__(self) -> None:
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None

    def follow(self, limits: Limits, now: float) -> None:
        """Take over the limits of the directory, which may have changed since the last request."""
        self._requests = _followed(self._requests, limits.requests_per_minute, now)
        self._tokens = _followed(self._tokens, limits.tokens_per_minute, now)

    def wait_for_request(self, now: float) -> float:
        """Seconds until another request is within the limit."""
        return 0.0 if self._requests is None else self._requests.wait_for(1, now)

    def wait_for_tokens(self, tokens: int, now: float) -> float:
        """Seconds until so many tokens are within the limit."""
        return 0.0 if self._tokens is None else self._tokens.wait_for(tokens, now)

    def take(self, tokens: int, now: float) -> None:
        """A request that expects to use `tokens` was accepted."""
        if self._requests is not None:
            self._requests.take(1, now)
        self.adjust(tokens, now)

    def undo(self, tokens: int, now: float) -> None:
        """It left before it ran."""
        if self._requests is not None:
            self._requests.take(-1, now)
        self.adjust(-tokens, now)

    def adjust(self, tokens: int, now: float) -> None:
        """It used so many tokens more than expected; fewer, when negative."""
        if self._tokens is not None:
            self._tokens.take(tokens, now)


def _followed(bucket: TokenBucket | None, per_minute: int | None, now: float) -> TokenBucket | None:
    if per_minute is None:
        return None
    if bucket is None:
        return TokenBucket(per_minute, now)
    bucket.resize(per_minute, now)
    return bucket
