"""GET /v1/savings and GET /v1/savings/estimate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from kat_metering import valuation
from kat_metering.api.auth import Reader
from kat_metering.api.document import CONFLICT
from kat_metering.api.report_query import ReportQuery
from kat_metering.api.services import WithServices
from kat_metering.defaults import article
from kat_metering.errors import FieldError, InvalidError
from kat_metering.estimate import EstimateReport, Overrides, UnknownTaskError, estimate_for_task
from kat_metering.methods import Method
from kat_metering.savings_report import SavingsReport
from kat_metering.store.engine import reading

router = APIRouter(tags=["savings"])


class EstimateQuery(Overrides):
    """The parameters of an estimate: a task of the article, and figures that take the place of its own."""

    task: str = "humaneval"


@router.get("/v1/savings", responses=CONFLICT, response_model_exclude_unset=True)
def savings(
    query: ReportQuery,
    services: WithServices,
    method: Annotated[
        Method, Query(description="L1: equal tokens; L2: token ratios; L3: as L2, where answers were judged no worse")
    ] = Method.L2,
    baseline: Annotated[str, Query(description="a name from /v1/baselines")] = valuation.DEFAULT_BASELINE,
) -> SavingsReport:
    """Savings by group, with method, baseline, intervals, exclusions and assumptions."""
    with reading(services.engine, query.tenant) as connection:
        return valuation.savings(connection, query, valuation.BaselineChoice(baseline, method))


@router.get("/v1/savings/estimate")
def savings_estimate(
    _: Reader,
    overrides: Annotated[EstimateQuery, Query()],
) -> EstimateReport:
    """What a number of calls would save by the article's figures, each of which can be replaced; nothing is measured."""
    try:
        return estimate_for_task(article(), overrides.task, overrides)
    except UnknownTaskError as error:
        raise InvalidError(f"There are {error}.", errors=[FieldError("task", str(error))]) from error
