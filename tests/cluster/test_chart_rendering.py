"""What Helm makes of the chart, before any cluster sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kat_metering.settings import Settings as MeteringSettings
from kat_operator.settings import Settings as OperatorSettings
from tests.fakes.helm import CHART, EXAMPLES, SECRETS, Helm, HelmError
from tests.fakes.operator_process import RBAC

Manifest = dict[str, Any]
PARTS = ("operator", "metering")
POD_KINDS = ("Deployment", "StatefulSet", "Job")


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(tmp_path)


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def rules(manifests: list[Manifest]) -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): each["rules"] for each in manifests if "rules" in each}


def environment(deployment: Manifest) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_values_for_common_clusters_pass_the_strict_lint(helm: Helm, example: Path) -> None:
    assert "0 chart(s) failed" in helm.run("lint", "--strict", CHART, "--values", example)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"metering": {"replica": 3}}, "replica"),
        ({"database": {"mode": "sqlite"}}, "mode"),
        ({"operator": {"image": {"digest": "latest"}}}, "digest"),
        ({"metering": {"settings": {"PATH": "/tmp"}}}, "PATH"),
        ({"metering": {"settings": {"KAT_METERING_PORT": "80"}}}, "KAT_METERING_PORT"),
        ({"services": {"kat": {"model": {}}}}, "pools"),
        ({"networkPolicy": {"databasePort": 70_000}}, "databasePort"),
        ({"runAsUser": "root"}, "runAsUser"),
        ({"runAsUser": 0}, "runAsUser"),
    ],
)
def test_a_bad_value_is_refused_by_name(helm: Helm, values: dict[str, Any], words: str) -> None:
    with pytest.raises(HelmError, match=words):
        helm.render(values={**SECRETS, **values})


@pytest.mark.parametrize(("missing", "command"), [("tokens", "kat-tokens"), ("database", "kat-database")])
def test_a_secret_that_is_not_named_is_asked_for_with_the_command_that_makes_it(
    helm: Helm, missing: str, command: str
) -> None:
    with pytest.raises(HelmError, match=f"kubectl create secret generic {command} --namespace kat-system"):
        helm.render(values={part: value for part, value in SECRETS.items() if part != missing})


def test_the_operator_gets_the_rights_that_the_tests_run_it_under(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "rbac": {"aggregate": False}})

    assert rules(manifests) == rules(list(yaml.safe_load_all(RBAC.read_text())))


def test_an_operator_of_some_namespaces_has_its_rights_there_alone(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "operator": {"namespaces": ["a", "b"]}})

    bound = [
        (each["kind"], each["metadata"].get("namespace"), each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in manifests
        if each["kind"] in {"ClusterRoleBinding", "RoleBinding"}
    ]
    assert sorted(bound, key=str) == [
        ("ClusterRoleBinding", None, "ClusterRole", "kat-operator-capacity"),
        ("RoleBinding", "a", "ClusterRole", "kat-operator"),
        ("RoleBinding", "b", "ClusterRole", "kat-operator"),
        ("RoleBinding", "kat-system", "Role", "kat-operator"),
    ]


def test_an_operator_of_some_namespaces_is_told_which(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "operator": {"namespaces": ["a", "b"]}})

    assert environment(one(manifests, "Deployment", "kat-operator"))["KAT_OPERATOR_NAMESPACES"] == "a,b"


def test_a_further_setting_reaches_its_part(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "metering": {"settings": {"KAT_CURRENCY": "EUR"}}})

    assert environment(one(manifests, "Deployment", "kat-metering"))["KAT_CURRENCY"] == "EUR"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_the_chart_sets_itself_cannot_be_set_beside_it(helm: Helm, example: Path) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    refused = set(schema["definitions"]["settings"]["propertyNames"]["not"]["enum"])
    manifests = helm.render("--values", example)

    assert set().union(*(environment(one(manifests, "Deployment", f"kat-{part}")) for part in PARTS)) <= refused


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_variables_of_the_pods_are_settings_of_their_parts(helm: Helm, example: Path) -> None:
    manifests = helm.render("--values", example)
    known = {
        "operator": {f"KAT_OPERATOR_{name.upper()}" for name in OperatorSettings.model_fields},
        "metering": {"KAT_HOME", *(f"KAT_{name.upper()}" for name in MeteringSettings.model_fields)},
    }

    unknown = {part: set(environment(one(manifests, "Deployment", f"kat-{part}"))) - known[part] for part in known}
    assert unknown == {"operator": set(), "metering": set()}


def test_a_second_installation_shares_no_name_with_the_first(helm: Helm) -> None:
    def names(prefix: str) -> set[tuple[str, str]]:
        manifests = helm.render("--values", CHART / "examples" / "cpu-trial.yaml", values={"namePrefix": prefix})
        return {(each["kind"], each["metadata"]["name"]) for each in manifests if each["kind"] != "AutoThinkService"}

    assert not names("kat") & names("other")


def test_a_digest_takes_the_place_of_the_tag(helm: Helm) -> None:
    digest = f"sha256:{'a' * 64}"
    manifests = helm.render(values={**SECRETS, "metering": {"image": {"tag": "1", "digest": digest}}})

    (container,) = one(manifests, "Deployment", "kat-metering")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"kat-serving/metering@{digest}"


def users(manifests: list[Manifest]) -> set[object]:
    templates = [each["spec"].get("template", each) for each in manifests if each["kind"] in {*POD_KINDS, "Pod"}]
    return {each["spec"]["securityContext"].get(name) for each in templates for name in ("runAsUser", "fsGroup")}


def test_all_processes_are_of_the_user_that_is_named_down_to_its_last_digit(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "runAsUser": 1_000_680_001})

    predictors = environment(one(manifests, "Deployment", "kat-operator"))["KAT_OPERATOR_RUN_AS_USER"]
    assert (users(manifests), predictors) == ({1_000_680_001}, "1000680001")


def test_where_the_platform_gives_users_none_is_named(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "runAsUser": "platform", "database": {"mode": "trial"}})

    predictors = environment(one(manifests, "Deployment", "kat-operator"))["KAT_OPERATOR_RUN_AS_USER"]
    assert (users(manifests), predictors) == ({None}, "platform")


def test_a_database_that_is_there_is_migrated_before_metering_starts(helm: Helm) -> None:
    manifests = helm.render(values=SECRETS)

    hook = one(manifests, "Job", "kat-migrations")["metadata"]["annotations"]["helm.sh/hook"]
    migrates = environment(one(manifests, "Deployment", "kat-metering"))["KAT_METERING_MIGRATE"]
    assert (hook, migrates) == ("pre-install,pre-upgrade", "false")


@pytest.mark.parametrize("mode", ["trial", "cloudnative-pg"])
def test_a_database_of_the_chart_is_migrated_by_metering_at_its_first_start(helm: Helm, mode: str) -> None:
    manifests = helm.render(values={**SECRETS, "database": {"mode": mode}})

    hook = one(manifests, "Job", "kat-migrations")["metadata"]["annotations"]["helm.sh/hook"]
    migrates = environment(one(manifests, "Deployment", "kat-metering"))["KAT_METERING_MIGRATE"]
    assert (hook, migrates) == ("pre-upgrade", "true")


def test_no_secret_is_rendered_where_they_are_named(helm: Helm) -> None:
    assert not [each for each in helm.render(values=SECRETS) if each["kind"] == "Secret"]


def test_with_an_autoscaler_the_number_of_replicas_is_its_own(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "metering": {"autoscaling": {"enabled": True}}})

    assert "replicas" not in one(manifests, "Deployment", "kat-metering")["spec"]


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_each_part_is_scraped_once(helm: Helm, kind: str) -> None:
    manifests = helm.render(values={**SECRETS, "monitoring": {"enabled": True, "kind": kind}})

    monitors = [(each["kind"], each["metadata"]["name"]) for each in manifests if each["kind"].endswith("Monitor")]
    assert sorted(monitors) == [(kind, "kat-metering"), (kind, "kat-operator")]


def test_a_service_without_a_word_of_metering_uses_this_release(helm: Helm) -> None:
    manifests = helm.render(values={**SECRETS, "services": {"kat": {"model": {}, "pools": []}}})

    assert one(manifests, "AutoThinkService", "kat")["spec"]["metering"] == {
        "url": "http://kat-metering.kat-system",
        "serviceToken": {"name": "kat-tokens", "key": "service-token"},
    }


def test_a_token_is_rotated_by_naming_the_old_and_the_new_key(helm: Helm) -> None:
    keys = {"serviceKey": "service-token-2", "furtherServiceKey": "service-token"}
    manifests = helm.render(
        values={**SECRETS, "tokens": {**SECRETS["tokens"], **keys}, "services": {"kat": {"model": {}, "pools": []}}}
    )

    metering = environment(one(manifests, "Deployment", "kat-metering"))
    taken = [metering[name]["secretKeyRef"]["key"] for name in ("KAT_SERVICE_TOKEN", "KAT_FURTHER_SERVICE_TOKENS")]
    sent = one(manifests, "AutoThinkService", "kat")["spec"]["metering"]["serviceToken"]["key"]
    assert (taken, sent) == (["service-token-2", "service-token"], "service-token-2")


def test_every_pod_of_the_release_is_fenced_off_but_for_what_a_policy_of_its_own_lets_through(helm: Helm) -> None:
    manifests = helm.render(
        "--values", CHART / "examples" / "cpu-trial.yaml", values={"networkPolicy": {"enabled": True}}
    )

    policies = [each["spec"]["podSelector"]["matchLabels"] for each in manifests if each["kind"] == "NetworkPolicy"]
    parts = {each.get("app.kubernetes.io/component", "all") for each in policies}
    assert parts == {"all", "operator", "metering", "migrations", "postgres", "test"}
