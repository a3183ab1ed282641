"""YAML as a person wrote it: its values, and the lines and the nearest valid names that its faults are told by.

No message made here quotes a value of the file, as a header may be secret.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigurationError

_VALUES: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
"""Eight times as fast where it is there; faults are worded by the other one, which has found none by then."""

_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")
"""What a YAML fault quotes of the file; its own names for tokens, ``'<block end>'``, are none."""


def parse(name: str, text: str) -> tuple[Any, yaml.Node | None]:
    """The file's values and, for the lines of faults, its nodes. Raises ConfigurationError for what is not YAML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.load(text, Loader=_VALUES)  # noqa: S506 - either is a safe one
        _refuse_duplicates(name, node, set())
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = _QUOTED.sub("…", fault.problem or "it cannot be read")
        raise ConfigurationError(f"{name} is not valid YAML{where}: {problem}") from fault
    except yaml.YAMLError as fault:
        raise ConfigurationError(f"{name} is not valid YAML: it holds a character that YAML forbids") from fault
    except (ValueError, RecursionError) as fault:  # the 31st of February, a number of thousands of digits, a loop
        raise ConfigurationError(f"{name} holds a date, a number or a nesting that cannot be; quote it") from fault
    return data, node


def _refuse_duplicates(name: str, node: yaml.Node | None, seen: set[int]) -> None:
    """YAML readers silently take the last of two equal keys: of two prices of one model, the wrong one."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(name, item, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise ConfigurationError(f"{name}:{line}: the key {key.value!r} stands in line {lines[key.value]} too")
            lines[key.value] = line
        _refuse_duplicates(name, value, seen)


def line_of(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """The line of the value that these keys and indices lead to, or of the last one on the way that is there."""
    line = 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, node = key.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def faults(name: str, root: yaml.Node | None, document: type[BaseModel], error: ValidationError) -> str:
    """Every fault of a file that is no such document, a line for each, with its place and its remedy."""
    return "\n".join(_describe(name, root, document, dict(each)) for each in error.errors())


def nearest(given: str, valid: Iterable[str]) -> str:
    """What to say after an unknown name: the valid one that it was probably meant to be, or all of them."""
    names = list(valid)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid are {', '.join(names) or 'none'}"


def _describe(name: str, root: yaml.Node | None, document: type[BaseModel], error: dict[str, Any]) -> str:
    location = tuple(error["loc"])
    where = ".".join(str(step) for step in location) or "the file"
    prefix = f"{name}:{line_of(root, location)}: {where}: "
    if error["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        key = str(error["ctx"]["discriminator"]).strip("'")
        return f"{prefix}needs a {key}: {', '.join(_tags(document, location, key))}"
    if error["type"] != "extra_forbidden":
        return prefix + str(error["msg"]).removeprefix("Value error, ")
    return f"{prefix}unknown key; {nearest(str(location[-1]), _valid_keys(document, location[:-1]))}"


def _valid_keys(document: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """The keys of the mapping to which these steps lead."""
    return [field.alias or key for model in _models(document, location) for key, field in model.model_fields.items()]


def _tags(document: type[BaseModel], location: tuple[Any, ...], key: str) -> list[str]:
    """The words by which one key tells the members of a union apart."""
    return [str(tag) for model in _models(document, location) for tag in get_args(model.model_fields[key].annotation)]


def _models(document: type[BaseModel], location: tuple[Any, ...]) -> list[type[BaseModel]]:
    """What may stand where these steps lead: keys, indices, and the names or tags of a union's members."""
    kinds: list[Any] = [document]
    for step in location:
        named = [kind for kind in kinds if _is_called(kind, str(step))]
        kinds = named or [inner for kind in kinds for inner in _inner(kind, step)]
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _is_called(kind: Any, step: str) -> bool:
    tag = kind.model_fields.get("kind") if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return getattr(kind, "__name__", None) == step or (tag is not None and step in get_args(tag.annotation))


def _inner(kind: Any, step: Any) -> Iterator[Any]:
    """The types that a value of this type may have at a key or an index."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for key, field in kind.model_fields.items():
            if step in (key, field.alias):
                yield from _alternatives(field.annotation)
    elif get_origin(kind) is dict:
        yield from _alternatives(get_args(kind)[1])
    elif get_origin(kind) in (list, tuple):
        yield from _alternatives(get_args(kind)[0])


def _alternatives(kind: Any) -> Iterator[Any]:
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _alternatives(get_args(kind)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(kind):
            yield from _alternatives(each)
    else:
        yield kind
