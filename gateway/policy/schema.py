"""The JSON Schema of ``policy.yaml``, by which editors complete and check it while it is written."""

from __future__ import annotations

import json

from gateway.policy.document import PolicyDocument


def json_schema() -> str:
    """The schema as a JSON document; ``policies/policy.schema.json`` holds the same."""
    schema = PolicyDocument.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A policy of Ponder"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
