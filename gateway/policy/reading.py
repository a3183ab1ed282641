"""From the text of ``policy.yaml`` to a policy: every fault with its line, references between its parts included."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml
from pydantic import ValidationError

from gateway import yaml_text
from gateway.errors import ConfigurationError
from gateway.policy.document import GAIN, ArmDocument, PolicyDocument, RuleDocument

Location: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to a value of the file."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that is whole in itself: valid, and every name in it defined. What it is worth depends on the models.

    ``digest`` is the SHA-256 of what it says, whatever its comments, quotes and defaults written out.
    """

    name: str
    digest: str
    document: PolicyDocument
    text: str


def read_policy(name: str, text: str) -> Policy:
    """The policy of the folder ``name``. Raises ConfigurationError with every fault, its line and its remedy."""
    file = f"{name}/policy.yaml"
    data, root = yaml_text.parse(file, text)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{file} must hold a mapping with keys such as policy, arms, defaults, rules")
    try:
        document = PolicyDocument.model_validate(data)
    except ValidationError as fault:
        raise ConfigurationError(yaml_text.faults(file, root, PolicyDocument, fault)) from fault
    faults = [
        *_misnamed(name, document),
        *_undefined(document),
        *_repeated(document),
        *_circular(document.arms),
        *_textless(document),
    ]
    if faults:
        raise ConfigurationError("\n".join(_told(file, root, *fault) for fault in faults))
    return Policy(name, digest(document), document, text)


def digest(document: PolicyDocument) -> str:
    """The SHA-256, in hexadecimal, of what a policy says. The order of arms and rules is part of it."""
    said = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _told(file: str, root: yaml.Node | None, location: Location, message: str) -> str:
    where = ".".join(str(step) for step in location)
    return f"{file}:{yaml_text.line_of(root, location)}: {where}: {message}"


def _misnamed(name: str, document: PolicyDocument) -> Iterator[tuple[Location, str]]:
    if document.policy != name:
        yield ("policy",), f"the policy is called {document.policy!r} and its folder {name!r}; they must be the same"
    if GAIN in document.arms:
        yield ("arms", GAIN), f"{GAIN!r} is a word of until_certified and cannot be an arm; choose another name"


def _textless(document: PolicyDocument) -> Iterator[tuple[Location, str]]:
    if document.calibrate is not None and document.calibrate.items.logged is not None and not document.store_text:
        place = ("calibrate", "items", "logged")
        yield place, "asks can be drawn only of a policy that keeps their texts; write `store_text: true` in it"


def _undefined(document: PolicyDocument) -> Iterator[tuple[Location, str]]:
    for location, name in references(document):
        if name not in document.arms:
            yield location, f"there is no arm {name!r}; {yaml_text.nearest(name, document.arms)}"


def references(document: PolicyDocument) -> Iterator[tuple[Location, str]]:
    """Every place that names an arm, and the name."""
    for name, arm in document.arms.items():
        yield from _each(("arms", name, "cascade"), arm.cascade or ())
    defaults = document.defaults
    yield ("defaults", "arm"), defaults.arm
    yield ("defaults", "reference"), defaults.reference
    yield from _each(("defaults", "fallbacks"), defaults.fallbacks)
    for index, rule in enumerate(document.rules):
        yield from _of_rule(("rules", index), rule)


def _of_rule(place: Location, rule: RuleDocument) -> Iterator[tuple[Location, str]]:
    yield from _each((*place, "fallbacks"), rule.fallbacks)
    if rule.arm is not None:
        yield (*place, "arm"), rule.arm
    if rule.gain is not None:
        yield from _each((*place, "gain", "among"), rule.gain.among)
    if rule.calibrated is not None:
        yield from _each((*place, "calibrated", "among"), rule.calibrated.among)
        start: Mapping[str, str | None] = dict(rule.calibrated.until_certified)
        for tier, name in start.items():
            if name not in (None, GAIN):
                yield (*place, "calibrated", "until_certified", tier), str(name)


def _each(place: Location, names: Iterable[str]) -> Iterator[tuple[Location, str]]:
    for index, name in enumerate(names):
        yield (*place, index), name


def _repeated(document: PolicyDocument) -> Iterator[tuple[Location, str]]:
    counted = Counter(rule.name for rule in document.rules)
    for index, rule in enumerate(document.rules):
        if counted[rule.name] > 1:
            yield ("rules", index, "name"), f"{counted[rule.name]} rules are called {rule.name!r}; each needs its own"
        chosen: Any = rule.calibrated or rule.gain
        if chosen is not None and len(set(chosen.among)) < len(chosen.among):
            form = "calibrated" if rule.calibrated else "gain"
            yield ("rules", index, form, "among"), "an arm stands here twice; each is chosen from once"


def _circular(arms: Mapping[str, ArmDocument]) -> Iterator[tuple[Location, str]]:
    for name, arm in arms.items():
        path = _way_back(name, arms, (name,)) if arm.cascade else None
        if path is not None:
            yield ("arms", name, "cascade"), f"the cascade leads back to itself: {' → '.join(path)}"


def _way_back(target: str, arms: Mapping[str, ArmDocument], path: tuple[str, ...]) -> tuple[str, ...] | None:
    arm = arms.get(path[-1])
    for member in (arm.cascade if arm else None) or ():
        if member == target:
            return (*path, member)
        if member not in path:
            found = _way_back(target, arms, (*path, member))
            if found is not None:
                return found
    return None
