"""SQL over the roll-up: what usage cost at the price book, and what a baseline would have cost.

The rules are metering's own. A price for the mode beats the one for any mode; prices begin and end on whole hours; usage
without a price is never free; the amounts are before discounts, which belong to statements. Savings are those of method
L1, as many tokens as ours: L2 and L3 draw bootstrap samples, which SQL does not.
"""

# ruff: noqa: S608 - put together of constants; what readers choose is quoted by Grafana (`:sqlstring`)

from __future__ import annotations

from typing import Final

_SEGMENTS: Final = ("prompt", "prompt_cached", "judge", "think", "answer", "control")
_VALUES: Final = ", ".join(f"('{segment}', u.{segment})" for segment in _SEGMENTS)
_SUMS: Final = ", ".join(f"sum({segment}) AS {segment}" for segment in _SEGMENTS)
_WHERE: Final = "$__timeFilter(hour) AND tenant IN (${tenant:sqlstring}) AND model IN (${model:sqlstring})"

# The roll-up's rows are summed first: prices are then looked up for a few hundred rows, not for every project and key.
_RATED: Final = f"""\
WITH usage AS (
    SELECT hour, tenant, model, mode, status, task, prompt_bucket, sum(requests) AS requests, {_SUMS}
    FROM usage_hourly
    WHERE {_WHERE}
    GROUP BY hour, tenant, model, mode, status, task, prompt_bucket
), rated AS (
    SELECT u.*, s.segment, s.tokens, p.per_million, p.basis, s.tokens * p.per_million * 0.000001 AS cost
    FROM usage u
    CROSS JOIN LATERAL (VALUES {_VALUES}) AS s (segment, tokens)
    LEFT JOIN LATERAL (
        SELECT per_million, basis
        FROM price
        WHERE price.model = u.model AND price.segment = s.segment AND price.mode IN ('any', u.mode)
            AND effective_from <= u.hour AND (effective_to IS NULL OR u.hour < effective_to)
        ORDER BY price.mode = 'any'
        LIMIT 1
    ) AS p ON true
    WHERE s.tokens > 0
)"""

_COMPARED: Final = f"""\
{_RATED}, compared AS (
    SELECT r.hour, r.tenant, r.model, r.mode, sum(r.cost) AS actual, sum(r.tokens * b.per_million * 0.000001) AS baseline
    FROM rated r
    LEFT JOIN LATERAL (
        SELECT per_million, basis
        FROM baseline_price
        WHERE baseline_price.baseline = ${{baseline:sqlstring}} AND baseline_price.segment = r.segment
            AND effective_from <= r.hour
        ORDER BY effective_from DESC
        LIMIT 1
    ) AS b ON true
    WHERE r.status NOT IN ('aborted', 'error')
    GROUP BY r.hour, r.tenant, r.model, r.mode, r.status, r.task, r.prompt_bucket
    -- What has no price on either side, or prices of two kinds, takes no part.
    HAVING bool_and(r.cost IS NOT NULL AND b.per_million IS NOT NULL) AND min(r.basis) = max(b.basis)
        AND max(r.basis) = min(b.basis)
)"""

_COMPLETION: Final = "judge + think + answer + control"

COST: Final = f"{_RATED}\nSELECT coalesce(sum(cost), 0) AS cost FROM rated\n"
COST_OF_THINKING: Final = f"{_RATED}\nSELECT sum(cost) FILTER (WHERE segment IN ('judge', 'think')) / nullif(sum(cost), 0) AS share FROM rated\n"
REQUESTS: Final = f"SELECT coalesce(sum(requests), 0)::bigint AS requests FROM usage_hourly WHERE {_WHERE}\n"
UNPRICED: Final = (
    f"{_RATED}\nSELECT coalesce(sum(tokens) FILTER (WHERE cost IS NULL), 0)::bigint AS tokens FROM rated\n"
)
SAVED: Final = f"{_COMPARED}\nSELECT coalesce(sum(baseline - actual), 0) AS saved FROM compared\n"
SAVED_SHARE: Final = f"{_COMPARED}\nSELECT sum(baseline - actual) / nullif(sum(baseline), 0) AS share FROM compared\n"

COST_BY_DAY: Final = f"""\
{_RATED}
SELECT date_trunc('day', hour, 'UTC') AS time, tenant AS metric, coalesce(sum(cost), 0)::float8 AS value
FROM rated
GROUP BY 1, 2
ORDER BY 1, 2
"""
COST_BY_SEGMENT: Final = f"""\
{_RATED}
SELECT date_trunc('day', hour, 'UTC') AS time, segment AS metric, coalesce(sum(cost), 0)::float8 AS value
FROM rated
GROUP BY 1, 2
ORDER BY 1, 2
"""
TWO_SIDES_BY_DAY: Final = f"""\
{_COMPARED}
SELECT date_trunc('day', hour, 'UTC') AS time, side.metric, sum(side.amount)::float8 AS value
FROM compared
CROSS JOIN LATERAL (VALUES ('actual', actual), ('baseline', baseline)) AS side (metric, amount)
GROUP BY 1, 2
ORDER BY 1, 2
"""
THINK_ON_BY_DAY: Final = f"""\
SELECT date_trunc('day', hour, 'UTC') AS time, tenant AS metric,
    (sum(requests) FILTER (WHERE mode = 'on') / sum(requests))::float8 AS value
FROM usage_hourly
WHERE {_WHERE} AND mode IN ('on', 'off')
GROUP BY 1, 2
ORDER BY 1, 2
"""
TOP_TENANTS: Final = f"""\
{_RATED}, counted AS (
    SELECT tenant, sum(requests) AS requests, sum(requests) FILTER (WHERE mode = 'on') AS thinking,
        sum({_COMPLETION}) AS completion_tokens
    FROM usage
    GROUP BY tenant
), priced AS (
    SELECT tenant, sum(cost) AS cost, sum(cost) FILTER (WHERE segment IN ('judge', 'think')) AS reasoning,
        sum(tokens) FILTER (WHERE cost IS NULL) AS unpriced
    FROM rated
    GROUP BY tenant
)
SELECT tenant, requests::bigint, coalesce(thinking / requests, 0)::float8 AS thinks,
    completion_tokens::bigint AS "completion tokens", cost, (reasoning / nullif(cost, 0))::float8 AS "cost of reasoning",
    coalesce(unpriced, 0)::bigint AS "unpriced tokens"
FROM counted LEFT JOIN priced USING (tenant)
ORDER BY cost DESC NULLS LAST, tenant
LIMIT 50
"""

BUDGETS: Final = f"""\
{
    _RATED.replace("$__timeFilter(hour)", "hour >= date_trunc('month', now(), 'UTC')").replace(
        " AND model IN (${model:sqlstring})", ""
    )
}
SELECT tenant.id AS tenant, tenant.monthly_budget AS budget, coalesce(sum(cost), 0) AS spent,
    (coalesce(sum(cost), 0) / nullif(tenant.monthly_budget, 0))::float8 AS share, tenant.think_off_at::float8 AS "think-off at"
FROM tenant
LEFT JOIN rated ON rated.tenant = tenant.id
WHERE tenant.monthly_budget IS NOT NULL AND tenant.id IN (${{tenant:sqlstring}})
GROUP BY tenant.id
ORDER BY share DESC NULLS FIRST, tenant.id
"""

MEASURED_RATIOS: Final = """\
WITH pairs AS (
    SELECT mode, task, tokens_ours::numeric AS ours, tokens_baseline::numeric AS theirs,
        sum(tokens_baseline) OVER stratum / nullif(sum(tokens_ours) OVER stratum, 0) AS ratio
    FROM shadow_sample
    WHERE baseline = ${baseline:sqlstring} AND model IN (${model:sqlstring})
    WINDOW stratum AS (PARTITION BY mode, task)
), strata AS (
    SELECT mode, task, count(*) AS n, min(ratio) AS ratio,
        1.96 * sqrt(sum((theirs - ratio * ours) ^ 2) / nullif(count(*) - 1, 0) / count(*)) / nullif(avg(ours), 0) AS half
    FROM pairs
    GROUP BY mode, task
)
SELECT mode, task, n, ratio::float8, (ratio - half)::float8 AS low, (ratio + half)::float8 AS high
FROM strata
WHERE n >= 30
ORDER BY mode, task
"""

TENANTS: Final = "SELECT id FROM tenant UNION SELECT DISTINCT tenant FROM usage_daily ORDER BY 1"
MODELS: Final = "SELECT DISTINCT model FROM usage_daily ORDER BY 1"
BASELINES: Final = "SELECT name FROM baseline ORDER BY name = 'kat-v1-200b' DESC, name"
CURRENCY: Final = "SELECT DISTINCT currency FROM price"
