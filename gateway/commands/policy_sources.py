"""Where the commands of ``ponder policy`` get policies, cases and models from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gateway import yaml_text
from gateway.adapters.policy_files import PolicyFiles
from gateway.commands.models import NOT_RUNNING_YET
from gateway.errors import ConfigurationError, NotFound
from gateway.flow.house import Catalog
from gateway.policy.cases import CasesDocument, read_cases
from gateway.policy.reading import Policy, read_policy
from gateway.policy.ready import ReadyPolicy, compile_policy
from gateway.settings import Settings, load, places
from gateway.steering import RUNNABLE, known_verifiers
from gateway.wiring import catalog

_POLICY, _CASES = "policy.yaml", "cases.yaml"


@dataclass(frozen=True, slots=True)
class Source:
    """A policy's files."""

    name: str
    file: Path

    def policy(self) -> Policy:
        """The policy; raises ConfigurationError with all of its faults."""
        return read_policy(self.name, _read(self.file))

    def cases(self) -> CasesDocument | None:
        """The cases beside it, if there are any; raises ConfigurationError."""
        file = self.file.with_name(_CASES)
        return read_cases(self.name, _read(file)) if file.is_file() else None


def sources(names: tuple[str, ...]) -> list[Source]:
    """The policies of these names, files or folders; without any, all that there are."""
    where = places(os.environ)
    known = PolicyFiles(where.config).files(load(where.config))
    if not names:
        return [Source(name, file) for name, file in known.items()]
    return [_source(name, known.get(name)) for name in names]


def source(name: str) -> Source:
    """The policy of this name, file or folder."""
    return sources((name,))[0]


def _source(given: str, known: Path | None) -> Source:
    if known is not None:
        return Source(given, known)
    path = Path(given)
    file = path / _POLICY if path.is_dir() else path
    if not file.is_file():
        raise NotFound(
            f"there is no policy {given!r}, and no such file or folder; `ponder policy check` lists policies"
        )
    return Source(_own_name(file), file)


def _own_name(file: Path) -> str:
    """What a policy outside the folders of policies calls itself: it may be a draft of one that is there."""
    data, _ = yaml_text.parse(file.name, _read(file))
    name = data.get("policy") if isinstance(data, dict) else None
    return name if isinstance(name, str) else file.resolve().parent.name


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as fault:
        raise ConfigurationError(f"{file} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigurationError(f"{file} is not UTF-8 text at byte {fault.start + 1}") from fault


def configured() -> tuple[Settings, Catalog]:
    """The configuration, and the models that it offers."""
    where = places(os.environ)
    settings = load(where.config)
    offered, _ = catalog(settings, os.environ, embedded_url=where.embedded_url or NOT_RUNNING_YET)
    return settings, offered


def prepare(policy: Policy, offered: Catalog) -> ReadyPolicy:
    """The policy, ready to decide with the models that are configured."""
    return compile_policy(policy, offered.models, offered.defaults, RUNNABLE, known_verifiers(offered.verifiers))
