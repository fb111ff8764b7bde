"""What the operator reports of an AutoThinkService. The CRD's status schema is made of these types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PlainSerializer, ValidationError
from pydantic.alias_generators import to_camel

from kat_operator.api import ConditionType

Time = Annotated[
    datetime,
    # Kubernetes keeps whole seconds; with fractions each read would differ from what was written.
    PlainSerializer(lambda time: time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), when_used="json"),
]


class _Status(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Condition(_Status):
    """As metav1.Condition."""

    type: Annotated[ConditionType, Field(description="What is told.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether it holds.")]
    reason: Annotated[str, Field(min_length=1, max_length=64, description="Why, in one CamelCase word.")]
    message: Annotated[str, Field(max_length=2_048, description="Why, for people.")] = ""
    observed_generation: Annotated[
        NonNegativeInt, Field(description="Generation of the spec that this was told of.")
    ] = 0
    last_transition_time: Annotated[Time, Field(description="Since when the status is what it is.")]


class PoolStatus(_Status):
    """One pool's share."""

    name: Annotated[str, Field(description="The pool's name.")]
    replicas: Annotated[NonNegativeInt, Field(description="Replicas asked for.")] = 0
    ready: Annotated[NonNegativeInt, Field(description="Replicas that serve.")] = 0
    ceiling: Annotated[
        NonNegativeInt, Field(description="Replicas that its nodes can hold, those that run included; or growsTo.")
    ] = 0
    template: Annotated[str | None, Field(description="Hash of the pod template that is rolled out or rolling.")] = None


class WishStatus(_Status):
    """What one law of the autoscaler wanted."""

    law: Annotated[str, Field(description="Name of the law.")]
    replicas: Annotated[float, Field(description="Replicas that it wanted, before rounding.")]
    because: Annotated[str, Field(description="Its figures, in one line.")] = ""


class DecisionStatus(_Status):
    """How the number of replicas came about."""

    reason: Annotated[str, Field(description="Why, in one CamelCase word.")]
    message: Annotated[str, Field(description="Why, for people.")] = ""
    time: Annotated[Time, Field(description="When this was first decided.")]
    wishes: Annotated[tuple[WishStatus, ...], Field(description="What each law wanted.")] = ()
    bounds: Annotated[tuple[str, ...], Field(description="What changed the largest wish, in order.")] = ()


class AutoThinkServiceStatus(_Status):
    """What is."""

    observed_generation: Annotated[NonNegativeInt, Field(description="Generation of the spec that was acted on.")] = 0
    conditions: Annotated[tuple[Condition, ...], Field(description="What can be told, one entry a type.")] = ()
    model: Annotated[str | None, Field(description="Name under which the model is served, metered and priced.")] = None
    replicas: Annotated[NonNegativeInt, Field(description="Replicas asked for, over all pools.")] = 0
    ready_replicas: Annotated[NonNegativeInt, Field(description="Replicas that serve.")] = 0
    desired_replicas: Annotated[NonNegativeInt, Field(description="Replicas that the autoscaler wants.")] = 0
    selector: Annotated[str | None, Field(description="Label selector of the pods.")] = None
    think_on_share: Annotated[
        str | None, Field(description="Share of the last minute's requests that think, such as `34 %`.")
    ] = None
    startup_seconds: Annotated[float | None, Field(ge=0, description="From a new pod to a ready one, as measured.")] = (
        None
    )
    pools: Annotated[tuple[PoolStatus, ...], Field(description="Each pool's share, best pool first.")] = ()
    last_decision: Annotated[DecisionStatus | None, Field(description="How the number of replicas came about.")] = None

    def condition(self, type_: ConditionType) -> Condition | None:
        """The condition of that type, None before it was first told."""
        return next((condition for condition in self.conditions if condition.type == type_), None)

    def to_json(self) -> dict[str, Any]:
        """As the API server takes it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def read(cls, service: Mapping[str, Any]) -> Self:
        """The status of a stored AutoThinkService; an empty one where there is none, or none that can be read.

        A status is told anew with every tick, so what an older operator wrote differently is no loss.
        """
        try:
            return cls.model_validate(service.get("status") or {})
        except ValidationError:
            return cls()


def differ_in_figures_alone(before: AutoThinkServiceStatus, after: AutoThinkServiceStatus) -> bool:
    """Whether two statuses say the same, but for figures and texts that change with nearly every tick under load.

    Writing those with each tick would cost the API server more than they are worth: they may wait for a minute.
    """
    return _without_figures(before) == _without_figures(after)


def _without_figures(status: AutoThinkServiceStatus) -> AutoThinkServiceStatus:
    decision = status.last_decision
    return status.model_copy(
        update={
            "conditions": tuple(condition.model_copy(update={"message": ""}) for condition in status.conditions),
            "think_on_share": None,
            "startup_seconds": None,
            "last_decision": decision and decision.model_copy(update={"message": "", "wishes": ()}),
        }
    )
