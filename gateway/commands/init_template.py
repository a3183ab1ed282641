"""The commented ponder.yaml that ``ponder init`` writes, whole or with some of its sections answered."""

from __future__ import annotations

from collections.abc import Mapping

TEMPLATE = """\
# Ponder's configuration. Everything here is optional: what is left out, or commented out as below,
# has the value shown or the default described. `ponder doctor` checks it. Secrets never stand here:
# an upstream names the environment variable that holds its key, or says that it is stored.

# Servers that Ponder calls. With ANTHROPIC_API_KEY, OPENAI_API_KEY, … in the environment, the hosted
# ones are there by themselves; with neither keys nor upstreams, `ponder up` runs a small local model.
#upstreams:
#  anthropic:
#    kind: anthropic
#    api_key_env: ANTHROPIC_API_KEY
#  openai:
#    kind: openai
#    base_url: https://api.openai.com/v1
#    api_key_env: OPENAI_API_KEY
# With api_key: stored the key is in the database, encrypted: ponder provider-keys set mistral
#  mistral:
#    kind: litellm
#    api_key: stored
# vLLM, llama.cpp or any other server that speaks the OpenAI API.
#  gpu:
#    kind: openai
#    base_url: http://127.0.0.1:8080/v1
#    first_byte_s: 120
#    idle_s: 120
#    retries: 1

# Names that callers may ask for.
#models:
#  haiku:
#    upstream: anthropic
#    name: claude-haiku-4-5
# A hosted model that the built-in price list does not know is priced here, in dollars per million
# tokens; an unpriced model is refused.
#  new-model:
#    upstream: openai
#    name: gpt-next
#    price: {input_per_mtok: 1.25, output_per_mtok: 10, cached_input_per_mtok: 0.125}
# A model on hardware of your own is priced by the hour that the hardware costs, and by the tokens
# per second that you measured on it.
#  qwen:
#    upstream: gpu
#    name: Qwen/Qwen3-8B
#    price: {gpu_hour_usd: 2.10, gpus: 1, output_tokens_per_s: 2400}
#    context_tokens: 32768
#    max_output_tokens: 8192

# Models that score the answers of searches; an arm of a policy names one as its verifier.
#verifiers:
#  judge:
#    kind: judge
#    model: haiku

# Checks that requests bring along: whether code of answers may be run against tests, in isolated processes.
#graders:
#  code: false

# Whether models without a price may be called; what they cost is then unknown, and says so.
#allow_unpriced: false

# What one request may be.
#limits:
#  body_bytes: 33554432
#  bodies_bytes: 536870912
#  header_bytes: 65536
#  receive_s: 120
#  connections: 8192
#  deadline_s: 600
#  default_output_tokens: 4096
#  draws_per_request: 32
#  draws: 256

# The policy that decides for `model: auto` where neither the key nor its team names another, and the
# folder, beside this file, that your own policies lie in.
#policy: default
#policies_dir: policies

# Background responses and batches: how many run at once, and how long results are kept.
#background:
#  concurrency: 8
#  keep_hours: 24

# What becomes of requests while the journal's disk is full: refused, or served without a record.
#journal:
#  on_full_disk: refuse

# Where several gateway processes share limits and money; better set as PONDER_REDIS_URL, since it may
# hold a password. While Redis is away requests are refused (closed), or each process goes on with
# its share of what is left (open).
#redis:
#  url: redis://127.0.0.1:6379/0
#  when_away: closed

# For how many seconds a gateway that was told to stop answers "not ready" and serves on, so that whoever
# balances between several takes it out first.
#shutdown:
#  notice_s: 5

# How long keys are honoured while the database is away, in seconds: after that every request is
# refused until it is back. Left out: the keys last read serve for as long as it takes.
#keys:
#  max_age_s: 3600

# How long requests are kept; their texts only if you say so.
#retention:
#  requests_days: 90
#  store_text: false
#  text_days: 7

# SQLite in PONDER_HOME, unless this or PONDER_DATABASE_URL (better, for it holds a password) says
# otherwise.
#database:
#  url: postgresql://ponder@127.0.0.1/ponder

# A folder in PONDER_HOME, unless this or PONDER_BROKER_URL says otherwise.
#broker:
#  url: redis://127.0.0.1:6379/0

# Who is told when a budget passes its soft limit or turns a request away, and of profiles that are promoted, taken
# back or end. The secret is in the environment: whsec_ and 24 to 64 random bytes in base64.
#webhooks:
#  - url: https://example.com/hooks/ponder
#    secret_env: HOOK_SECRET
#    events: [budget.exhausted, profile.canary_withdrawn, profile.suspended, profile.expired]

# Where the calibrator asks what it measures (by default at the gateway of this home), and how much at once.
#calibration:
#  gateway_url: http://127.0.0.1:8000
#  concurrency: 4

# A collector that spans and measures are sent to, by OTLP over HTTP; needs the extra otel.
#telemetry:
#  otlp_endpoint: http://127.0.0.1:4318

# Browser origins that may call the gateway.
#cors:
#  allow_origins: []
"""


def template(answered: Mapping[str, str]) -> str:
    """The template with these sections of it written out, by their keys; each text ends without a line break."""
    paragraphs = TEMPLATE.rstrip("\n").split("\n\n")
    places = {
        line[1:].partition(":")[0]: place
        for place, paragraph in enumerate(paragraphs)
        for line in paragraph.splitlines()
        if line[1:2].isalpha()
    }
    for key, text in answered.items():
        paragraphs[places[key]] = text
    return "\n\n".join(paragraphs) + "\n"
