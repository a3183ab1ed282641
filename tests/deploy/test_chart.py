"""The chart, rendered by Helm's own engine and held against Kubernetes' schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from gateway.settings import Settings
from tests.deploy.places import DEPLOY, USER, VERSION, documents, known_variables, variables

CHART = DEPLOY / "helm" / "ponder"
CONFIG = {"upstreams": {"gpu": {"kind": "vllm", "base_url": "http://vllm.models.svc:8000/v1"}}}
EVERYTHING: dict[str, Any] = {
    "config": CONFIG,
    "policies": {"work": "policy: work\narms:\n  fast: {model: small}\n"},
    "env": [{"name": "HTTPS_TRACE", "value": "1"}],
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": f"sha256:{'0' * 64}"},
    "gateway": {
        "autoscaling": {"enabled": True},
        "journal": {"storageClassName": "fast"},
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"operator": "Exists"}],
    },
    "ingress": {"enabled": True, "className": "nginx", "host": "ponder.example", "tlsSecret": "tls"},
    "monitoring": {"podMonitor": True, "rules": True, "labels": {"release": "watch"}},
    "networkPolicy": {
        "clients": [{"namespaceSelector": {"matchLabels": {"uses": "ponder"}}}],
        "administrators": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "service": {"annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"a": "b"}},
}
LEAST: dict[str, Any] = {
    "gateway": {"journal": {"persistent": False}},
    "migration": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False},
}
VERSIONS = ("1.27", "1.37")
"""The oldest that the chart takes, and the newest whose schemas there are."""


def _rendered(values: dict[str, Any] | None = None, release: str = "ponder") -> list[dict[str, Any]]:
    with helm_python.Chart.load(CHART) as chart:
        texts = chart.render(values or {}, name=release, namespace="prod")
    return [each for name, text in texts.items() if name.endswith(".yaml") for each in documents(text)]


def _of(kind: str, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def _pods(objects: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in objects:
        if "template" in each.get("spec", {}):
            yield each["spec"]["template"]


@pytest.mark.parametrize("values", [{}, EVERYTHING, LEAST], ids=["default", "everything", "least"])
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_is_rendered(values: dict[str, Any], version: str) -> None:
    """Every object is of a known kind, with no field that its schema does not have."""
    for each in _rendered(values):
        if not each["apiVersion"].startswith("monitoring.coreos.com"):  # the operator's own, not Kubernetes'
            kubernetes_validate.validate(each, version, strict=True)


def test_helm_finds_nothing_wrong() -> None:
    """Its linter has neither an error nor a warning."""
    found = helm_python.lint(CHART)
    assert found["errors"] == []
    assert [each for each in found["messages"] if each["severity"] > 1] == []


@pytest.mark.parametrize("release", ["ponder", "blue", "x" * 53])
def test_names_are_unique_and_short(release: str) -> None:
    """Two releases can stand beside each other, and no name is longer than Kubernetes takes."""
    objects = _rendered(EVERYTHING, release)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)
    assert release == "ponder" or all(name != "ponder" for _, name in names)


@pytest.mark.parametrize("values", [{}, EVERYTHING, LEAST], ids=["default", "everything", "least"])
def test_no_pod_may_do_much(values: dict[str, Any]) -> None:
    """Not root, nothing to write to but its volumes, no capability, no key to Kubernetes, bounded memory."""
    pods = list(_pods(_rendered(values)))
    assert len(pods) == 4 - (values is LEAST)
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["runAsUser"] == USER
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"]
        own = {claim["metadata"]["name"] for each in _rendered(values) for claim in _claims(each)}
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]} | own
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def _claims(each: dict[str, Any]) -> list[dict[str, Any]]:
    claims: list[dict[str, Any]] = each.get("spec", {}).get("volumeClaimTemplates", [])
    return claims


def test_selectors_find_their_pods_and_no_others() -> None:
    """Every controller owns its own pods; services, the budget and the policy choose gateways alone."""
    objects = _rendered(EVERYTHING)
    for each in (*_of("StatefulSet", objects), *_of("Deployment", objects)):
        assert each["spec"]["selector"]["matchLabels"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
    (gateways,) = _of("StatefulSet", objects)
    labels = gateways["spec"]["template"]["metadata"]["labels"]
    selectors = [each["spec"]["selector"] for each in _of("Service", objects)]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in _of("PodDisruptionBudget", objects)]
    for selector in selectors:
        assert selector.items() <= labels.items()
        others = [pod["metadata"]["labels"] for pod in _pods(objects) if pod["metadata"]["labels"] != labels]
        assert not any(selector.items() <= other.items() for other in others)
    assert gateways["spec"]["serviceName"] in {each["metadata"]["name"] for each in _of("Service", objects)}
    (scaler,) = _of("HorizontalPodAutoscaler", objects)
    assert scaler["spec"]["scaleTargetRef"]["name"] == gateways["metadata"]["name"]
    assert "replicas" not in gateways["spec"]


def test_ports_are_known_by_name() -> None:
    """Whatever names a port of the gateway names one that its container has, as its probes do."""
    objects = _rendered(EVERYTHING)
    (gateway,) = _of("StatefulSet", objects)
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    named = {port["targetPort"] for each in _of("Service", objects) for port in each["spec"]["ports"]}
    named |= {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")}
    named |= {port["port"] for rule in _of("NetworkPolicy", objects)[1]["spec"]["ingress"] for port in rule["ports"]}
    assert named == ports


def test_secrets_are_referred_to_and_never_held() -> None:
    """The chart makes none; the variables that it sets itself are the program's, and no secret ones."""
    objects = _rendered(EVERYTHING)
    assert _of("Secret", objects) == []
    for pod in _pods(objects):
        (container,) = pod["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "ponder"}}]
    text = "".join(file.read_text("utf-8") for file in (CHART / "templates").iterdir())
    assert variables(text) == {"PONDER_HOST", "PONDER_ADMIN_HOST", "PONDER_ADMIN_PORT"}
    assert variables((CHART / "values.yaml").read_text("utf-8")) <= known_variables()


def test_configuration_and_policies_lie_where_they_are_read() -> None:
    """ponder.yaml is what the values say, and each policy has its folder beside it."""
    objects = _rendered(EVERYTHING)
    (held,) = _of("ConfigMap", objects)
    own = {"calibration": {"gateway_url": "http://ponder.prod.svc:80"}, "shutdown": {"notice_s": 5}}
    assert yaml.safe_load(held["data"]["ponder.yaml"]) == CONFIG | own
    (service,) = [each for each in _of("Service", objects) if each["metadata"]["name"] == "ponder"]
    assert service["spec"]["ports"][0]["port"] == 80
    assert Settings.model_validate(yaml.safe_load(held["data"]["ponder.yaml"]))
    assert yaml.safe_load(held["data"]["policy.work.yaml"])["policy"] == "work"
    for pod in _pods([each for each in objects if each["kind"] != "Job"]):
        (volume,) = [each["configMap"] for each in pod["spec"]["volumes"] if "configMap" in each]
        assert {item["key"]: item["path"] for item in volume["items"]} == {
            "ponder.yaml": "ponder.yaml", "policy.work.yaml": "policies/work/policy.yaml",
        }  # fmt: skip
        assert volume["name"] == held["metadata"]["name"]
    told = {"config": {"calibration": {"gateway_url": "https://ponder.example"}}}
    assert "https://ponder.example" in _of("ConfigMap", _rendered(told))[0]["data"]["ponder.yaml"]
    assert Settings.model_validate(yaml.safe_load(_of("ConfigMap", _rendered())[0]["data"]["ponder.yaml"]))


def test_workers_start_anew_with_their_configuration_and_gateways_do_not() -> None:
    """A worker reads it at its start; a gateway takes a change up while it runs."""
    before, after = _rendered(), _rendered({"config": CONFIG})
    for kind, changes in (("Deployment", True), ("StatefulSet", False)):
        for old, new in zip(_of(kind, before), _of(kind, after), strict=True):
            assert (old["spec"]["template"] != new["spec"]["template"]) is changes


def test_the_schema_comes_first() -> None:
    """The migration is a hook before install and upgrade, and needs nothing that comes with the release."""
    (job,) = _of("Job", _rendered(EVERYTHING))
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["db", "upgrade"]
    assert "serviceAccountName" not in pod
    assert not any("configMap" in volume for volume in pod["volumes"])


def test_one_clock() -> None:
    """Beat is alone, also while it is replaced."""
    (beat,) = [each for each in _of("Deployment", _rendered()) if each["metadata"]["name"].endswith("-beat")]
    assert (beat["spec"]["replicas"], beat["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_the_network_is_shut_where_nobody_is_named() -> None:
    """Administration is reached by nobody by default, and the cloud's metadata by no pod."""
    whole, gateway = _of("NetworkPolicy", _rendered())
    assert whole["spec"]["ingress"] == []
    assert [block["ipBlock"]["except"] for block in whole["spec"]["egress"][1]["to"]] == [
        ["169.254.0.0/16"], ["fd00:ec2::254/128"],
    ]  # fmt: skip
    assert [rule["ports"] for rule in gateway["spec"]["ingress"]] == [[{"port": "http"}]]
    opened = _of("NetworkPolicy", _rendered(EVERYTHING))[1]["spec"]["ingress"]
    assert [(rule["ports"][0]["port"], len(rule["from"])) for rule in opened] == [("http", 2), ("admin", 1)]
    workers = opened[0]["from"][0]["podSelector"]["matchLabels"]
    (pods,) = [pod for pod in _pods(_rendered()) if workers.items() <= pod["metadata"]["labels"].items()]
    assert pods["spec"]["containers"][0]["args"] == ["worker"]


def test_without_a_certificate_there_is_no_way_in() -> None:
    """Keys do not travel in the clear."""
    with pytest.raises(helm_python.HelmError, match=r"ingress\.tlsSecret names the certificate"):
        _rendered({"ingress": {"enabled": True, "host": "ponder.example"}})


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"gateway": {"replica": 3}},
        {"image": {"tag": "latest"}},
        {"image": {"digest": "sha256:1"}},
        {"gateway": {"terminationGracePeriodSeconds": 30}},
        {"gateway": {"replicas": 0}},
        {"policies": {"Not A Name": "x"}},
        {"secret": ""},
    ],
)
def test_values_that_are_wrong_are_refused(values: dict[str, Any]) -> None:
    """By the schema, before anything is rendered: slips of the pen, moving tags, too little time to end."""
    with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmError):
        chart.validate_schema(values)


def test_the_schema_has_every_value() -> None:
    """Down to the last member, so that a new value comes with its kind."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))

    def compare(value: Any, described: dict[str, Any], extra: set[str]) -> None:
        if "properties" in described and described.get("additionalProperties") is False:
            assert described["properties"].keys() - extra == value.keys()
            for name, member in value.items():
                compare(member, described["properties"][name], set())

    compare(values, schema, {"global"})


def test_chart_and_project_have_one_version() -> None:
    """The default image is that of the release."""
    described = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert (described["version"], described["appVersion"]) == (VERSION, VERSION)
    assert {pod["spec"]["containers"][0]["image"] for pod in _pods(_rendered())} == {f"ponder:{VERSION}"}
