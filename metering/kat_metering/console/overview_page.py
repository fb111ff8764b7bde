"""The overview: requests, think-on share, tokens by segment, cost, and what was saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from kat.usage_event import Mode, Segment
from kat_metering import valuation
from kat_metering.console import figures
from kat_metering.console.charts import Chart, Series, stacked_bars
from kat_metering.console.pages import page
from kat_metering.console.span import AskedSpan, Span
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.totals import Total, total_of, totals_by
from kat_metering.console.visitor import SignedIn
from kat_metering.console.wording import Wording
from kat_metering.errors import ConflictError, InvalidError
from kat_metering.savings_report import Dimension, SavingsReport
from kat_metering.store.engine import reading
from kat_metering.usage import UsageQuery

router = APIRouter()

_CHARTED: Final = (Segment.PROMPT, Segment.PROMPT_CACHED, Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL)


@router.get("/")
def overview(request: Request, visitor: SignedIn, span: AskedSpan, tenant: str | None = None) -> Response:
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant)
        daily = valuation.usage(
            connection, UsageQuery(span.window, choice.tenant, (Dimension.DAY, Dimension.MODE, Dimension.MODEL))
        )
        whose = (
            valuation.usage(connection, UsageQuery(span.window, None, (Dimension.TENANT, Dimension.MODE))).rows
            if visitor.is_operator and choice.tenant is None
            else []
        )
        savings = _savings(connection, UsageQuery(span.window, choice.tenant, ()))
    total = total_of(daily.rows)
    by_day = totals_by(daily.rows, lambda row: row.day)
    return page(
        request,
        "overview",
        visitor=visitor,
        choice=choice,
        span=span,
        total=total,
        currency=daily.totals.currency or visitor.services.settings.currency,
        as_of=daily.as_of,
        savings=savings,
        charts=[
            _tokens_chart(visitor.say, span, by_day),
            _requests_chart(visitor.say, span, by_day),
        ]
        if total.requests
        else [],
        days=by_day,
        models=totals_by(daily.rows, lambda row: row.model),
        tenants=totals_by(whose, lambda row: row.tenant),
        segments=_CHARTED,
    )


def _savings(connection: Connection, query: UsageQuery) -> SavingsReport | None:
    """The savings by the far-reaching method; None where prices and baseline cannot be compared at all."""
    try:
        return valuation.savings(connection, query, valuation.BaselineChoice())
    except (ConflictError, InvalidError):
        # Another currency than the baseline's, or no baseline of that name: the page says that there is none.
        return None


def _tokens_chart(say: Wording, span: Span, by_day: Mapping[date | None, Total]) -> Chart:
    series = [
        Series(
            say(f"segment.{segment}"),
            segment.value,
            [by_day[day].tokens[segment] if day in by_day else 0 for day in span.days],
        )
        for segment in _CHARTED
    ]
    return _chart(say, say("overview.tokens_by_day"), span, series)


def _requests_chart(say: Wording, span: Span, by_day: Mapping[date | None, Total]) -> Chart:
    parts = {
        Mode.OFF: [by_day[day].think_off if day in by_day else 0 for day in span.days],
        Mode.ON: [by_day[day].think_on if day in by_day else 0 for day in span.days],
        Mode.UNDECIDED: [
            by_day[day].requests - by_day[day].think_on - by_day[day].think_off if day in by_day else 0
            for day in span.days
        ],
    }
    series = [
        Series(say(f"mode.{mode}"), mode.value, values)
        for mode, values in parts.items()
        if mode is not Mode.UNDECIDED or any(values)
    ]
    return _chart(say, say("overview.requests_by_day"), span, series)


def _chart(say: Wording, title: str, span: Span, series: Sequence[Series]) -> Chart:
    sums = ", ".join(f"{each.name} {figures.short_count(int(sum(each.values)))}" for each in series)
    return stacked_bars(
        title,
        [f"{day:%m-%d}" for day in span.days],
        series,
        write=figures.axis_count,
        description=say("chart.described", title=title, sums=sums),
    )
