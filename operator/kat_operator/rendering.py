"""The objects of one spec, each rendered once for as long as the spec holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kat_operator.api import AutoThinkServiceSpec, PoolSpec
from kat_operator.predictor_pod import PredictorOptions
from kat_operator.resources import (
    Owner,
    applied_template,
    inference_service,
    pod_disruption_budget,
    pod_monitor,
    service,
)
from kat_operator.upgrade import Strategy


@dataclass(frozen=True)
class Rendering:
    """What a service ought to consist of. The same object comes back each time, so that it is compared in no time."""

    owner: Owner
    spec: AutoThinkServiceSpec
    options: PredictorOptions
    _pools: dict[tuple[str, Strategy], Mapping[str, Any]] = field(default_factory=dict, init=False, repr=False)

    def inference_service(self, pool: PoolSpec, strategy: Strategy) -> Mapping[str, Any]:
        """A pool's InferenceService."""
        known = self._pools.get((pool.name, strategy))
        if known is None:
            known = inference_service(self.owner, self.spec, pool, options=self.options, strategy=strategy)
            self._pools[pool.name, strategy] = known
        return known

    def template(self, pool: PoolSpec) -> str:
        """Hash of a pool's template, which does not depend on how pods are replaced."""
        digest = applied_template(self.inference_service(pool, Strategy.SURGE))
        assert digest is not None  # noqa: S101 - each of ours says its template
        return digest

    @cached_property
    def service(self) -> Mapping[str, Any]:
        return service(self.owner)

    @cached_property
    def pod_monitor(self) -> Mapping[str, Any]:
        return pod_monitor(self.owner, self.spec)

    @cached_property
    def pod_disruption_budget(self) -> Mapping[str, Any]:
        return pod_disruption_budget(self.owner, self.spec)
