"""The AutoThinkService: group autothink.dev, version v1alpha1, as users write it and as the operator reports on it.

The types hold what a value may be; what one field demands of another is said in CEL, in the CRD that `crd` makes of
these types, so that the API server refuses a bad object before the operator ever sees it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

GROUP: Final = "autothink.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "AutoThinkService"
PLURAL: Final = "autothinkservices"
SHORT_NAME: Final = "ats"

SERVICE_LABEL: Final = f"{GROUP}/service"
"""On everything that belongs to a service: its name."""
POOL_LABEL: Final = f"{GROUP}/pool"
"""On a pool's InferenceService and pods: the pool's name."""

DEFAULT_MODEL: Final = "default"
"""The uri of the small model that comes with the predictor."""
DEFAULT_MODEL_NAME: Final = "smollm2-135m"
"""What the predictor calls that model, too."""

DnsLabel = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=20)]

_QUANTITY: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE]-?[0-9]+)?$"
Quantity = Annotated[
    str,
    # YAML reads `cpu: 4` as a number.
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=_QUANTITY),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": _QUANTITY}),
]
"""A Kubernetes quantity that is not negative."""

MODEL_URI: Final = r"^(default|/.*[^/]|[a-z][a-z0-9+.-]*://.*[^/])$"


class _Spec(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


class Engine(StrEnum):
    """What runs the model."""

    AUTO = "auto"
    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class ModelSpec(_Spec):
    """The model that every replica serves."""

    uri: Annotated[
        str,
        Field(
            pattern=MODEL_URI,
            max_length=1_024,
            description="Where the weights are: a KServe storageUri (hf://, oci://, pvc://, s3://…), the path of a "
            "folder in the predictor's image, or `default` for the small model that comes with the predictor. It does "
            "not end in a slash.",
        ),
    ]
    name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Name under which the model is served, metered and priced. Without it: the uri's last part. The "
            "name that results cannot change, for usage and prices are booked under it.",
        ),
    ] = None
    engine: Annotated[Engine, Field(description="What runs the model; `auto` takes vLLM where it is installed.")] = (
        Engine.AUTO
    )
    quantization: Annotated[
        Literal["fp8", "awq", "gptq"] | None, Field(description="How vLLM quantises the weights. Without it: not.")
    ] = None
    context_tokens: Annotated[
        PositiveInt | None,
        Field(description="Prompt and completion tokens together, at most. Without it: what the model allows."),
    ] = None
    engine_arguments: Annotated[
        dict[str, Any], Field(description="More of vLLM's engine arguments, as `vllm serve` names them.")
    ] = {}
    image: Annotated[
        str | None,
        Field(min_length=1, max_length=512, description="The predictor's image. Without it: the operator's default."),
    ] = None

    @property
    def served_name(self) -> str:
        """Name under which the model is served, metered and priced; the `model` of its metrics."""
        if self.name is not None:
            return self.name
        return DEFAULT_MODEL_NAME if self.uri == DEFAULT_MODEL else self.uri.rpartition("/")[2]

    @property
    def storage_uri(self) -> str | None:
        """What KServe is to fetch the weights from; None where they are in the image."""
        return self.uri if "://" in self.uri else None


class Toleration(_Spec):
    """A taint that a pool's pods bear; as in core/v1."""

    key: Annotated[
        str | None,
        Field(max_length=317, description="The taint's key. Without it, and with operator Exists: every one."),
    ] = None
    operator: Annotated[Literal["Exists", "Equal"], Field(description="How its value is compared.")] = "Equal"
    value: Annotated[str | None, Field(max_length=63, description="The taint's value, with operator Equal.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None,
        Field(description="The taint's effect. Without it: every one."),
    ] = None
    toleration_seconds: Annotated[
        NonNegativeInt | None, Field(description="How long a taint of effect NoExecute is borne. Without it: for ever.")
    ] = None


class PoolSpec(_Spec):
    """A kind of node that replicas run on. Pools are filled in the order in which they are listed."""

    name: Annotated[DnsLabel, Field(description="Short name of the pool, unique in the service.")]
    gpus_per_replica: Annotated[
        int, Field(ge=0, le=64, description="GPUs of a replica; the tensor parallel size. 0 is a replica on CPU.")
    ]
    gpu_resource: Annotated[str, Field(min_length=1, max_length=253, description="The resource that counts GPUs.")] = (
        "nvidia.com/gpu"
    )
    node_selector: Annotated[
        dict[str, str], Field(max_length=32, description="Labels that the pool's nodes have.")
    ] = {}
    tolerations: Annotated[
        tuple[Toleration, ...], Field(max_length=32, description="Taints that the pool's nodes may have.")
    ] = ()
    cpu: Annotated[Quantity, Field(description="CPU of a replica, a Kubernetes quantity.")] = "4"
    memory: Annotated[Quantity, Field(description="Memory of a replica, a Kubernetes quantity.")] = "32Gi"
    grows_to: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000,
            description="Replicas that the pool may have though its nodes hold fewer, where a cluster autoscaler adds "
            "nodes for pods that wait. Without it: as many as its nodes hold, and no pod waits for a node.",
        ),
    ] = None
    engine_arguments: Annotated[
        dict[str, Any], Field(description="Engine arguments of this pool, over those of the model.")
    ] = {}


class ReplicasSpec(_Spec):
    """How many replicas there may be, over all pools."""

    min: Annotated[int, Field(ge=0, description="Fewest replicas; 0 lets an idle service go to zero.")] = 1
    max: Annotated[int, Field(ge=1, le=1_000, description="Most replicas.")] = 1


class ObjectivesSpec(_Spec):
    """What nine requests in ten and more ought to see: 95 % of them."""

    time_to_first_answer_token_on_seconds: Annotated[
        PositiveFloat, Field(description="From a request's start to its answer's first token, where it thinks.")
    ] = 60.0
    time_to_first_answer_token_off_seconds: Annotated[
        PositiveFloat, Field(description="From a request's start to its answer's first token, where it does not.")
    ] = 3.0
    queue_seconds: Annotated[PositiveFloat, Field(description="Wait of a request for a place to run.")] = 2.0


class AutoscalingSpec(_Spec):
    """When the number of replicas changes."""

    objectives: Annotated[ObjectivesSpec, Field(description="What users ought to see.")] = ObjectivesSpec()
    requests_per_replica: Annotated[
        PositiveInt, Field(description="Requests that a replica runs at once; more wait in its queue.")
    ] = 32
    target_utilization: Annotated[
        float, Field(gt=0, le=1, description="Share of requestsPerReplica that the fleet is sized for.")
    ] = 0.75
    target_kv_cache_usage: Annotated[
        float, Field(gt=0, le=1, description="Share of the KV cache that the fleet is sized for.")
    ] = 0.8
    interval_seconds: Annotated[PositiveFloat, Field(description="Time between two decisions.")] = 5.0
    scale_down_window_seconds: Annotated[
        PositiveFloat, Field(description="A replica goes only when none of this time's decisions needed it.")
    ] = 300.0
    idle_to_zero_seconds: Annotated[
        PositiveFloat, Field(description="With replicas.min 0: time without a request until the last replica goes.")
    ] = 900.0
    surge_memory_seconds: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="How long the rises of the demand are remembered and room is kept for the next one; 0 keeps none.",
        ),
    ] = 7_200.0
    startup_seconds: Annotated[
        PositiveFloat, Field(description="From a new pod to a ready one, until it has been measured.")
    ] = 240.0


class ModePolicySpec(_Spec):
    """What requests get that do not say."""

    think_budget_tokens: Annotated[
        int | None, Field(ge=0, description="Thinking tokens of a request, at most, where none says less.")
    ] = None
    max_tokens: Annotated[PositiveInt, Field(description="Completion tokens of a request that does not say.")] = 1_024
    judge: Annotated[
        Literal["auto", "native", "emulated"], Field(description="Who judges whether to think; see KAT_JUDGE.")
    ] = "auto"


class SecretKeyReference(_Spec):
    """A key of a Secret in the service's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the Secret.")]


class MeteringSpec(_Spec):
    """Where usage goes and tenants come from."""

    url: Annotated[str, Field(pattern=r"^https?://[^/]", max_length=1_024, description="Where metering listens.")]
    service_token: Annotated[
        SecretKeyReference, Field(description="Secret with the token by which metering knows predictors.")
    ]


class DisruptionSpec(_Spec):
    """What maintenance may take away at once."""

    max_unavailable: Annotated[int, Field(ge=0, description="Replicas that an eviction may take away at once.")] = 1


SettingValue = Annotated[str, Field(max_length=4_096)]


class AutoThinkServiceSpec(_Spec):
    """What the user wants."""

    model: Annotated[ModelSpec, Field(description="The model that every replica serves.")]
    pools: Annotated[
        tuple[PoolSpec, ...], Field(min_length=1, max_length=8, description="Where replicas run, best pool first.")
    ]
    replicas: Annotated[ReplicasSpec, Field(description="How many replicas there may be.")] = ReplicasSpec()
    autoscaling: Annotated[AutoscalingSpec, Field(description="When the number of replicas changes.")] = (
        AutoscalingSpec()
    )
    mode_policy: Annotated[ModePolicySpec, Field(description="What requests get that do not say.")] = ModePolicySpec()
    metering: Annotated[MeteringSpec, Field(description="Where usage goes and tenants come from.")]
    disruption: Annotated[DisruptionSpec, Field(description="What maintenance may take away at once.")] = (
        DisruptionSpec()
    )
    grace_seconds: Annotated[
        PositiveInt,
        Field(description="Time that running requests get to end when a pod goes; above the longest request."),
    ] = 900
    service_account_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=253,
            description="ServiceAccount of the pods. Without it: the namespace's default.",
        ),
    ] = None
    settings: Annotated[
        dict[str, SettingValue],
        Field(
            max_length=64,
            description="More of the predictor's settings, by the name of their environment variable, such as "
            "KAT_TRACING. Those that other fields decide are refused.",
        ),
    ] = {}


class ConditionType(StrEnum):
    """What the status says of a service."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    CAPACITY_LIMITED = "CapacityLimited"
    METRICS_AVAILABLE = "MetricsAvailable"
