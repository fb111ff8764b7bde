"""The CustomResourceDefinition of AutoThinkService, made of the types in `api` and `status`, and how a stored one is read.

What one field demands of another is a rule in CEL, so that the API server refuses a bad object, with a message that says
what to change, and no webhook has to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from kat_operator.api import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_NAME,
    GROUP,
    KIND,
    PLURAL,
    SHORT_NAME,
    VERSION,
    AutoThinkServiceSpec,
    Engine,
)
from kat_operator.errors import InvalidSpec
from kat_operator.predictor_pod import OWN_SETTINGS
from kat_operator.status import AutoThinkServiceStatus
from kat_operator.structural_schema import structural_schema

NAME: Final = f"{PLURAL}.{GROUP}"
NAMES_TOGETHER: Final = 47
"""Characters of a service's and a pool's name together: KServe labels pods `isvc.<service>-<pool>-predictor`, and a label
has at most 63."""

_SERVED_NAME: Final = (
    "(has({0}.name) ? {0}.name : "
    f"{{0}}.uri == '{DEFAULT_MODEL}' ? '{DEFAULT_MODEL_NAME}' : "
    "{0}.uri.find('[^/]+$'))"
)

Rule = Mapping[str, str]


def _rule(expression: str, message: str) -> Rule:
    return {"rule": expression, "message": message}


RULES: Final[Mapping[str, Sequence[Rule]]] = {
    "": (
        _rule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name becomes the name of a Service: start it with a letter, and use lower case letters, digits "
            "and dashes",
        ),
        _rule(
            f"self.spec.pools.all(pool, size(self.metadata.name) + size(pool.name) <= {NAMES_TOGETHER})",
            f"metadata.name and a pool's name make the names of a Deployment and its label: shorten one, together they "
            f"may have {NAMES_TOGETHER} characters",
        ),
    ),
    "spec": (
        _rule(
            "self.pools.all(pool, pool.gpusPerReplica > 0) || self.pools.all(pool, pool.gpusPerReplica == 0)",
            "pools mix replicas on GPUs with replicas on CPU, which are not worth the same to the autoscaler: make them "
            "two services, or set gpusPerReplica above 0 in all pools or to 0 in all",
        ),
        _rule(
            "!has(self.model.quantization) || self.model.quantization != 'fp8' || "
            "self.pools.all(pool, pool.gpusPerReplica > 0)",
            "model.quantization fp8 needs GPUs: set gpusPerReplica above 0, or leave quantization out",
        ),
        _rule(
            f"self.model.engine != '{Engine.TRANSFORMERS}' || self.pools.all(pool, !has(pool.engineArguments))",
            "pools[].engineArguments are vLLM's: set model.engine to vllm or auto, or leave them out",
        ),
        _rule(
            "double(self.graceSeconds) >= self.autoscaling.objectives.timeToFirstAnswerTokenOnSeconds",
            "graceSeconds is below autoscaling.objectives.timeToFirstAnswerTokenOnSeconds, so that a request which thinks "
            "would be cut when its replica goes: raise graceSeconds",
        ),
    ),
    "spec.model": (
        _rule(
            f"!has(self.quantization) || self.engine != '{Engine.TRANSFORMERS}'",
            "quantization is vLLM's: set engine to vllm or auto, or leave quantization out",
        ),
        _rule(
            f"!has(self.engineArguments) || self.engine != '{Engine.TRANSFORMERS}'",
            "engineArguments are vLLM's: set engine to vllm or auto, or leave them out",
        ),
        _rule(
            f"{_SERVED_NAME.format('self')} == {_SERVED_NAME.format('oldSelf')}",
            "the name that the model is served under (name, or else the uri's last part) cannot change, for usage and "
            "prices are booked under it: set name to what it was, or make another service",
        ),
    ),
    "spec.pools[].tolerations[]": (
        _rule("has(self.key) || self.operator == 'Exists'", "a toleration without key needs operator Exists"),
        _rule(
            "self.operator != 'Exists' || !has(self.value)",
            "a toleration with operator Exists takes no value: leave it out, or set operator to Equal",
        ),
        _rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds needs effect NoExecute",
        ),
    ),
    "spec.replicas": (_rule("self.min <= self.max", "replicas.min is above replicas.max: lower min or raise max"),),
    "spec.autoscaling": (
        _rule(
            "self.scaleDownWindowSeconds >= self.intervalSeconds",
            "scaleDownWindowSeconds is below intervalSeconds, so that no decision would lie in it: raise it, or lower "
            "intervalSeconds",
        ),
        _rule(
            "self.idleToZeroSeconds >= self.intervalSeconds",
            "idleToZeroSeconds is below intervalSeconds: raise it, or lower intervalSeconds",
        ),
        _rule(
            "self.surgeMemorySeconds == 0.0 || self.surgeMemorySeconds >= 2.0 * self.startupSeconds",
            "surgeMemorySeconds is below twice startupSeconds, so that no rise within a start-up would show in it: raise "
            "it, or set it to 0 to keep no room for surges",
        ),
    ),
    "spec.autoscaling.objectives": (
        _rule(
            "self.queueSeconds <= self.timeToFirstAnswerTokenOffSeconds && "
            "self.queueSeconds <= self.timeToFirstAnswerTokenOnSeconds",
            "queueSeconds is above a time to first answer token, which counts the wait, too: lower queueSeconds, or "
            "raise the other",
        ),
    ),
    "spec.settings": tuple(
        # One rule each: together they would be too dear for the API server to reckon with.
        _rule(f"!('{name}' in self)", f"settings may not have {name}: it is set by {decided_by}")
        for name, decided_by in OWN_SETTINGS.items()
    ),
}
"""By the path of the schema that they stand at."""

_LIST_KEYS: Final = {"spec.pools": "name", "status.conditions": "type", "status.pools": "name"}
"""Lists that are maps, by what each entry is known by. Other lists are replaced as a whole."""

_COLUMNS: Final = (
    {"name": "Model", "type": "string", "jsonPath": ".status.model"},
    {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"},
    {"name": "Desired", "type": "integer", "jsonPath": ".status.desiredReplicas"},
    {"name": "Think-on", "type": "string", "jsonPath": ".status.thinkOnShare"},
    {"name": "Reason", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'},
    {"name": "Decision", "type": "string", "jsonPath": ".status.lastDecision.reason", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
)


def custom_resource_definition() -> dict[str, Any]:
    """As the API server takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "kat-serving"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [dict(column) for column in _COLUMNS],
                    "subresources": {
                        "status": {},
                        # `kubectl scale` raises or lowers the floor; how many there are is the autoscaler's to say.
                        "scale": {
                            "specReplicasPath": ".spec.replicas.min",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def read_spec(service: Mapping[str, Any]) -> AutoThinkServiceSpec:
    """The spec of a stored AutoThinkService.

    The API server has judged it, though perhaps by an older definition. So types are judged again, and with them what
    would lead the autoscaler astray.

    Raises:
        InvalidSpec: One line that names each field at fault.
    """
    try:
        spec = AutoThinkServiceSpec.model_validate(service.get("spec") or {})
    except ValidationError as error:
        faults = (f"{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise InvalidSpec("; ".join(faults)) from None
    name = service["metadata"]["name"]
    if spec.replicas.min > spec.replicas.max:
        raise InvalidSpec("spec.replicas.min is above spec.replicas.max")
    if len({pool.name for pool in spec.pools}) < len(spec.pools):
        raise InvalidSpec("spec.pools: two have one name")
    if any(len(name) + len(pool.name) > NAMES_TOGETHER for pool in spec.pools):
        raise InvalidSpec(f"spec.pools: a pool's name and {name} have more than {NAMES_TOGETHER} characters together")
    return spec


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _schema() -> dict[str, Any]:
    spec, status = structural_schema(AutoThinkServiceSpec), structural_schema(AutoThinkServiceStatus)
    schema: dict[str, Any] = {
        "type": "object",
        "description": "An auto-think model, served by replicas on pools of nodes.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    _mark_lists(schema, "")
    for path, rules in RULES.items():
        _at(schema, path)["x-kubernetes-validations"] = [dict(rule) for rule in rules]
    # An empty one would look as if somebody had set it, to the rules that ask.
    for path in ("spec.model.engineArguments", "spec.pools[].engineArguments"):
        del _at(schema, path)["default"]
    _without_defaults(status)
    return schema


def _without_defaults(schema: dict[str, Any]) -> None:
    """A status says what was written, and nothing that was not."""
    schema.pop("default", None)
    for value in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else ())):
        _without_defaults(value)


def _mark_lists(schema: dict[str, Any], path: str) -> None:
    if "items" in schema:
        key = _LIST_KEYS.get(path)
        schema["x-kubernetes-list-type"] = "atomic" if key is None else "map"
        if key is not None:
            schema["x-kubernetes-list-map-keys"] = [key]
        _mark_lists(schema["items"], f"{path}[]")
    for name, value in schema.get("properties", {}).items():
        _mark_lists(value, f"{path}.{name}" if path else name)


def _at(schema: dict[str, Any], path: str) -> dict[str, Any]:
    for part in path.split(".") if path else ():
        schema = schema["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema
