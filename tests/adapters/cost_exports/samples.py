"""Exports as the providers make them; the amounts are invented."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from gateway.adapters.cost_exports.reading import Export, open_export

ANTHROPIC_COST = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,\
inference_geo,speed,api_key_id,api_key_status
2026-11-20,Claude Haiku 4.5,Default,prod-key,message,≤ 200k,input_no_cache,0.05,0.05,token,global,,apikey_01A,active
2026-11-20,Claude Haiku 4.5,Default,prod-key,message,≤ 200k,output,1.20,1.20,token,global,,apikey_01A,active

2026-11-21,,Default,dev-key,message,,,0.01,0.01,web_search,global,,apikey_01B,active
"""
ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,\
usage_output_tokens,web_search_count,inference_geo,speed
2026-11-20 15:01,claude-haiku-4-5-20251001,prod-key,Default,standard,≤ 200k,100,20,3,400,50,0,global,
"""
OPENAI_COSTS = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.003835980000000000000000000001,usd,\
"gpt-5-2025-08-07, cached input",proj_1,org-1
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.5,usd,web search tool calls,proj_1,org-1
1795219200,1795305600,2026-11-21T00:00:00+00:00,2026-11-22T00:00:00+00:00,,,,,
"""
OPENAI_USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,\
service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,proj_1,10.0,user-1,key_1,\
gpt-5-2025-08-07,FALSE,default,59200.0,10646.0,5760.0,53440.0
1795219200,1795305600,2026-11-21T00:00:00+00:00,2026-11-22T00:00:00+00:00,,,,,,,,,,,
"""
ANTHROPIC_COST_REPORT = {
    "data": [
        {
            "starting_at": "2026-11-20T00:00:00Z",
            "ending_at": "2026-11-21T00:00:00Z",
            "results": [
                {
                    "currency": "USD", "amount": "123.45", "workspace_id": "wrkspc_1", "cost_type": "tokens",
                    "description": "Claude Sonnet 4 Usage - Input Tokens", "context_window": "0-200k",
                    "model": "claude-sonnet-4-20250514", "service_tier": "standard",
                    "token_type": "uncached_input_tokens",
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}  # fmt: skip
ANTHROPIC_USAGE_REPORT = {
    "data": [
        {
            "starting_at": "2026-11-20T00:00:00Z",
            "ending_at": "2026-11-21T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1500, "cache_read_input_tokens": 200, "output_tokens": 500,
                    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
                    "server_tool_use": {"web_search_requests": 10}, "api_key_id": "apikey_01A",
                    "workspace_id": None, "model": "claude-sonnet-4-20250514", "service_tier": "standard",
                    "context_window": "0-200k",
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}  # fmt: skip
OPENAI_COSTS_PAGE = {
    "object": "page",
    "data": [
        {
            "object": "bucket", "start_time": 1795132800, "end_time": 1795219200,
            "results": [
                {
                    "object": "organization.costs.result", "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "gpt-5-2025-08-07, output", "project_id": "proj_1", "api_key_id": None,
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}  # fmt: skip
OPENAI_USAGE_PAGE = {
    "object": "page",
    "data": [
        {
            "object": "bucket", "start_time": 1795132800, "end_time": 1795219200,
            "results": [
                {
                    "object": "organization.usage.completions.result", "input_tokens": 1000, "output_tokens": 500,
                    "input_cached_tokens": 800, "input_cache_write_tokens": 50, "num_model_requests": 5,
                    "project_id": "proj_1", "user_id": None, "api_key_id": "key_1", "model": "gpt-5-2025-08-07",
                    "batch": None,
                }
            ],
        }
    ],
    "has_more": False,
    "next_page": None,
}  # fmt: skip


def opened(content: str | dict[str, Any] | list[Any], name: str = "export") -> Export:
    """The export with this content."""
    text = content if isinstance(content, str) else json.dumps(content)
    return open_export(StringIO(text, newline=""), name)
