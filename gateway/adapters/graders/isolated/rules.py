"""Holds patterns and JSON Schemas of callers against texts of models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from jsonschema.exceptions import SchemaError as NotASchema
from jsonschema.validators import Draft202012Validator, validator_for
from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import UnknownDialect, specification_with

from gateway.adapters.graders.isolated.answering import Answer, Job, answer_jobs

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEEPEST: Final = 200
"""Levels of a schema."""


def check(job: Job) -> Answer:
    """A job names a pattern or a schema."""
    return match(job) if "pattern" in job else validate(job)


def match(job: Job) -> Answer:
    """Whether a pattern is found in a text, by Rust's engine: its time grows with the text, and it never backtracks."""
    try:
        rule = SchemaValidator(core_schema.str_schema(pattern=job["pattern"], regex_engine="rust-regex"))
    except SchemaError as fault:
        return {"refused": str(fault).splitlines()[-1].rpartition("rror: ")[2]}
    try:
        rule.validate_python(job.get("text", ""))
    except ValidationError:
        return {"holds": False}
    return {"holds": True}


def _looked_at(schema: Any) -> Answer:
    """Whether a schema is one, and its references lead somewhere."""
    try:
        dialect = schema.get("$schema", _DIALECT) if isinstance(schema, dict) else _DIALECT
        specification = specification_with(dialect)
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
        root = Registry().with_resource("", specification.create_resource(schema)).resolver("")
        for reference in _references(schema, 0):
            root.lookup(reference)
    except (UnknownDialect, AttributeError):
        return {"refused": f"'$schema' names no known dialect; leave it out for {_DIALECT}"}
    except NotASchema as fault:
        return {"refused": f"at {fault.json_path} it is not what '{fault.validator}' of its dialect asks for"}
    except (Unresolvable, LookupError, ValueError):
        return {"refused": "a $ref leads nowhere in the schema; only references within it are followed"}
    return {"holds": True}


def validate(job: Job) -> Answer:
    """Whether a schema allows a text as JSON; without a text, whether the schema is one."""
    schema = json.loads(job["schema"])
    if "text" not in job:
        return _looked_at(schema)
    try:
        value = json.loads(job["text"], parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {"holds": False}
    # A registry of its own, as the default one would fetch what a $ref names.
    rule = validator_for(schema, default=Draft202012Validator)(schema, registry=Registry())
    try:
        return {"holds": bool(rule.is_valid(value))}
    except Unresolvable:
        return {"undecided": "a $ref leads nowhere in the schema"}


def _no_constant(name: str) -> None:
    """NaN and Infinity are no JSON, though Python reads them."""
    raise ValueError(name)


def _references(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise RecursionError
    inner: Iterator[Any] = iter(())
    if isinstance(value, dict):
        yield from (value[name] for name in ("$ref", "$dynamicRef") if isinstance(value.get(name), str))
        inner = iter(value.values())
    elif isinstance(value, list):
        inner = iter(value)
    for each in inner:
        yield from _references(each, depth + 1)


if __name__ == "__main__":
    answer_jobs(check)
