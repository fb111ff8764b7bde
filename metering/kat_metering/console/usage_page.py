"""The usage explorer: any group, by hour or day, with filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from kat.usage_event import Segment
from kat_metering import valuation
from kat_metering.console import figures
from kat_metering.console.charts import FULL_WIDTH, Chart, Series, stacked_bars
from kat_metering.console.pages import page
from kat_metering.console.span import AskedSpan, Span
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.totals import Total, total_of, totals_by
from kat_metering.console.visitor import SignedIn
from kat_metering.console.wording import Wording
from kat_metering.errors import FieldError, InvalidError
from kat_metering.savings_report import Dimension
from kat_metering.store.engine import reading
from kat_metering.usage import UsageQuery, UsageRow

router = APIRouter()

_FILTERS: Final = (Dimension.MODEL, Dimension.MODE, Dimension.PROJECT, Dimension.STATUS)
_GROUPS: Final = (
    Dimension.TENANT,
    Dimension.MODEL,
    Dimension.MODE,
    Dimension.MODE_SOURCE,
    Dimension.PROJECT,
    Dimension.API_KEY_ID,
    Dimension.STATUS,
    Dimension.TASK,
)
_CHARTED: Final = 6
_LISTED: Final = 1_000
_LONGEST_BY_HOUR: Final = timedelta(days=14)


class Interval(StrEnum):
    """How finely time is parted."""

    DAY = "day"
    HOUR = "hour"


class Measure(StrEnum):
    """What the chart shows."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the visitor wants to see."""

    interval: Interval
    group: Dimension | None
    measure: Measure
    filters: Mapping[Dimension, str]


def _asked(
    *,
    interval: Interval = Interval.DAY,
    group: str = Dimension.MODE,
    measure: Measure = Measure.TOKENS,
    model: Annotated[str, Query(max_length=200)] = "",
    mode: Annotated[str, Query(max_length=200)] = "",
    project: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[str, Query(max_length=200)] = "",
) -> Asked:
    if group not in {"", *_GROUPS}:
        raise InvalidError("There is no such group.", errors=[FieldError("group", f"expected: {', '.join(_GROUPS)}")])
    given = zip(_FILTERS, (model, mode, project, status), strict=True)
    return Asked(interval, Dimension(group) if group else None, measure, {name: text for name, text in given if text})


@router.get("/usage")
def explore(
    request: Request,
    visitor: SignedIn,
    span: AskedSpan,
    asked: Annotated[Asked, Depends(_asked)],
    tenant: str | None = None,
) -> Response:
    if asked.interval is Interval.HOUR and span.last - span.first >= _LONGEST_BY_HOUR:
        message = f"at most {_LONGEST_BY_HOUR.days} days by the hour"
        raise InvalidError("That is too long a time.", errors=[FieldError("from", message)])
    if asked.group is Dimension.TENANT and not visitor.is_operator:
        asked = Asked(asked.interval, None, asked.measure, asked.filters)
    time = Dimension.HOUR if asked.interval is Interval.HOUR else Dimension.DAY
    grouped = dict.fromkeys((time, *([asked.group] if asked.group else []), *asked.filters))
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant)
        report = valuation.usage(connection, UsageQuery(span.window, choice.tenant, tuple(grouped)))
        known = valuation.usage(connection, UsageQuery(span.window, choice.tenant, _FILTERS))
    currency = report.totals.currency or visitor.services.settings.currency
    rows = [row for row in report.rows if _kept(row, asked.filters)]
    listed = totals_by(rows, lambda row: (row.hour or row.day, _group_of(row, asked.group)))
    return page(
        request,
        "usage",
        visitor=visitor,
        choice=choice,
        span=span,
        asked=asked,
        groups=[each for each in _GROUPS if visitor.is_operator or each is not Dimension.TENANT],
        measures=list(Measure),
        intervals=list(Interval),
        filters={name: _values(known.rows, name) for name in _FILTERS},
        total=total_of(rows),
        currency=currency,
        as_of=report.as_of,
        chart=_chart(visitor.say, span, asked, rows, currency) if rows else None,
        listed=[
            (moment_text(moment), group_text(visitor.say, asked.group, group), total)
            for (moment, group), total in list(listed.items())[:_LISTED]
        ],
        left_out=max(0, len(listed) - _LISTED),
        segments=list(Segment),
    )


def moment_text(moment: datetime | date | None) -> str:
    """A day, or an hour."""
    if isinstance(moment, datetime):
        return f"{moment:%Y-%m-%d %H:00}"
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def group_text(say: Wording, dimension: Dimension | None, value: str) -> str:
    """A group's value in words."""
    if not value:
        return say("usage.no_value")
    if dimension in {Dimension.MODE, Dimension.MODE_SOURCE, Dimension.STATUS}:
        return say(f"{dimension}.{value}")
    return value


def _kept(row: UsageRow, filters: Mapping[Dimension, str]) -> bool:
    return all(str(getattr(row, name)) == text for name, text in filters.items())


def _group_of(row: UsageRow, group: Dimension | None) -> str:
    value = None if group is None else getattr(row, group)
    return "" if value is None else str(value)


def _values(rows: Sequence[UsageRow], name: Dimension) -> list[str]:
    return sorted({str(getattr(row, name)) for row in rows if getattr(row, name) is not None})


def _amount(total: Total, measure: Measure) -> float:
    match measure:
        case Measure.TOKENS:
            return total.all_tokens
        case Measure.REQUESTS:
            return total.requests
        case Measure.COST:
            return float(total.cost or 0)


def _chart(say: Wording, span: Span, asked: Asked, rows: Sequence[UsageRow], currency: str) -> Chart:
    by_hour = asked.interval is Interval.HOUR
    moments = _moments(span, by_hour=by_hour)
    by_group = totals_by(rows, lambda row: _group_of(row, asked.group))
    ranked = sorted(by_group, key=lambda name: -_amount(by_group[name], asked.measure))
    shown, rest = ranked[:_CHARTED], set(ranked[_CHARTED:])
    cells = totals_by(rows, lambda row: (_group_of(row, asked.group), row.hour or row.day))

    def values(names: Sequence[str]) -> list[float]:
        return [sum(_amount(cells[name, at], asked.measure) for name in names if (name, at) in cells) for at in moments]

    series = [
        Series(
            say("usage.everything") if asked.group is None else group_text(say, asked.group, name),
            name if asked.group is Dimension.MODE and name else str(place),
            values([name]),
        )
        for place, name in enumerate(shown)
    ]
    if rest:
        series.append(Series(say("usage.others", count=len(rest)), "others", values(sorted(rest))))
    title = say(f"usage.chart_{asked.measure}", currency=currency)
    return stacked_bars(
        title,
        [f"{at:%m-%d %H:00}" if by_hour else f"{at:%m-%d}" for at in moments],
        series,
        write=_writer(asked.measure),
        description=say("chart.described", title=title, sums=", ".join(each.name for each in series)),
        width=FULL_WIDTH,
    )


def _moments(span: Span, *, by_hour: bool) -> Sequence[date]:
    if not by_hour:
        return span.days
    hours = int((span.window.end - span.window.start) / timedelta(hours=1))
    return [span.window.start + timedelta(hours=hour) for hour in range(hours)]


def _writer(measure: Measure) -> figures.Writer:
    if measure is Measure.COST:
        return figures.axis_money
    return figures.axis_count
