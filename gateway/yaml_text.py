"""YAML as a person wrote it: its values, and the lines that faults in them are told by.

No message made here quotes a value of the file, as a header may be secret.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gateway.errors import ConfigurationError

_QUOTED = re.compile(r"'(?!<)[^']{2,}'|\"[^\"]{2,}\"")
"""What a YAML fault quotes of the file; its own names for tokens, ``'<block end>'``, are none."""


def parse(name: str, text: str) -> tuple[Any, yaml.Node | None]:
    """The file's values and, for the lines of faults, its nodes. Raises ConfigurationError for what is not YAML."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
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
