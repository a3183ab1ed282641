"""Promise: one request is one request, its path is what is judged, and no value becomes a header or a log line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.security.raw_http import END, exchange, statuses
from tests.upstreams import configuration
from tests.upstreams.configuration import PRICE
from tests.upstreams.faulty_server import closed_port
from tests.upstreams.gateway_process import GatewayProcess
from tests.upstreams.openai_server import OpenAIServer

pytest_plugins = ("tests.upstreams.fixtures",)

HIDDEN = b"GET /health/live HTTP/1.1\r\nhost: hidden\r\n\r\n"
EVIL = "evil\r\nx-injected: 1\r\n\r\n{}"


@pytest.fixture(scope="module", name="guarded")
def _guarded(tmp_path_factory: pytest.TempPathFactory, compatible_server: OpenAIServer) -> Iterator[GatewayProcess]:
    """A gateway with a model of an evil name, and with administration on a port of its own."""
    upstream = {
        "kind": "openai",
        "dialects": ["openai-chat"],
        "base_url": f"{compatible_server.address}/v1",
        "api_key_env": "LOOPBACK_OPENAI",
    }
    model = {"upstream": "only", "name": "qwen3-8b", "price": PRICE}
    settings = {"upstreams": {"only": upstream}, "models": {"m": model, EVIL: model}}
    environment = {**configuration.SECRETS, "PONDER_ADMIN_PORT": str(closed_port())}
    with GatewayProcess(tmp_path_factory.mktemp("guarded"), settings, environment) as gateway:
        yield gateway


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /v1/chat/completions HTTP/1.1", b"host: a", *lines, b"", b""]) + body


CHUNKED = b"transfer-encoding: chunked"
LENGTH = b"content-length: %d" % len(HIDDEN)
AMBIGUOUS = {
    "CL and TE": _post(b"content-length: 5", CHUNKED, body=b"0\r\n\r\n" + HIDDEN),
    "TE and CL": _post(CHUNKED, LENGTH, body=b"0\r\n\r\n" + HIDDEN),
    "two lengths": _post(b"content-length: 0", LENGTH, body=HIDDEN),
    "the same length twice": _post(b"content-length: 0", b"content-length: 0", body=HIDDEN),
    "a list of lengths": _post(b"content-length: 0, 0", body=HIDDEN),
    "a signed length": _post(b"content-length: +0", body=HIDDEN),
    "a negative length": _post(b"content-length: -1", body=HIDDEN),
    "a hexadecimal length": _post(b"content-length: 0x0", body=HIDDEN),
    "an endless length": _post(b"content-length: " + b"9" * 40, body=HIDDEN),
    "TE that is not chunked": _post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "TE that does not end chunked": _post(b"transfer-encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
    "TE with a tab in it": _post(b"transfer-encoding: chu\tnked", body=b"0\r\n\r\n" + HIDDEN),
    "a space before the colon": _post(b"transfer-encoding : chunked", body=b"0\r\n\r\n" + HIDDEN),
    "a folded header": _post(b"x: 1\r\n transfer-encoding: chunked", b"content-length: 0", body=HIDDEN),
    "a folded TE": _post(b"transfer-encoding:\r\n chunked", body=b"0\r\n\r\n" + HIDDEN),
    "a bare LF between headers": _post(b"x: 1\ncontent-length: 0", body=HIDDEN),
    "a bare LF at the end": b"POST /v1/chat/completions HTTP/1.1\nhost: a\ncontent-length: 0\n\n" + HIDDEN,
    "a bare CR in a header": _post(b"x: 1\rcontent-length: 0", b"content-length: 0", body=HIDDEN),
    "a NUL in a header": _post(b"x: 1\0", b"content-length: 0", body=HIDDEN),
    "a header without a name": _post(b": 1", b"content-length: 0", body=HIDDEN),
    "a header with a space": _post(b"x y: 1", b"content-length: 0", body=HIDDEN),
    "a chunk with a signed size": _post(CHUNKED, body=b"+0\r\n\r\n" + HIDDEN),
    "a chunk with a bare LF": _post(CHUNKED, body=b"0\n\n" + HIDDEN),
    "a chunk longer than it says": _post(CHUNKED, body=b"1\r\n{}0\r\n\r\n" + HIDDEN),
    "a chunk of endless size": _post(CHUNKED, body=b"f" * 17 + b"\r\n" + HIDDEN),
    "a chunk extension with a bare LF": _post(CHUNKED, body=b"0;a\nb\r\n\r\n" + HIDDEN),
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_requests_that_can_be_read_in_two_ways_are_refused(guarded: GatewayProcess, data: bytes) -> None:
    """What another server might delimit differently ends the connection: nothing after it is taken for a request."""
    answered = statuses(exchange(guarded.port, data + END))
    assert answered == [400]
    assert guarded.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v1/chat/completions HTTP/2.0\r\nhost: a\r\ncontent-length: 0",
        b"POST /v1/chat/completions HTTP/0.9\r\nhost: a\r\ncontent-length: 0",
        b"POST /v1/chat/completions",
    ],
)
def test_other_protocols_get_one_answer(guarded: GatewayProcess, start: bytes) -> None:
    """A request of another version, or of none, is the connection's last: what follows it is not looked at."""
    answered = statuses(exchange(guarded.port, start + b"\r\n\r\n" + HIDDEN + END))
    assert answered in ([400], [401])


def test_plain_framing_is_understood(guarded: GatewayProcess) -> None:
    """Requests one after the other, whole, chunked and with a chunk extension, are answered one after the other."""
    chunks = b"2;name=value\r\n{}\r\n0\r\nx-trailer: 1\r\n\r\n"
    data = _post(b"content-length: 2", body=b"{}") + _post(CHUNKED, body=chunks) + HIDDEN + END
    assert statuses(exchange(guarded.port, data)) == [401, 401, 200, 200]


def _with_key(guarded: GatewayProcess, start: bytes, *lines: bytes, secret: str) -> bytes:
    return b"\r\n".join([start, *lines, b"authorization: Bearer " + secret.encode(), b"connection: close", b"", b""])


ADMIN_TARGETS = (
    *(b"/admin/keys", b"/%61dmin/keys", b"/%2561dmin/keys", b"/admin%2fkeys", b"/admin%2Fkeys", b"//admin/keys"),
    *(b"/./admin/keys", b"/x/../admin/keys", b"/health/../admin/keys", b"/health/%2e%2e/admin/keys"),
    *(b"/admin;x/keys", b"/ADMIN/keys", b"/admin/keys/", b"/admin//keys", b"/admin/keys?x=/health/live"),
    *(b"/health/live/../../admin/keys", b"/admin/keys%00", b"/admin/keys%20", b"/admin\\keys", b"/admin/./keys"),
    *(b"http://127.0.0.1/admin/keys", b"http://evil/admin/keys", b"HTTP://evil:80/admin/keys", b"*", b"evil:443"),
    *(b"http://evil/health/live/../../admin/keys", b"//evil/admin/keys", b"/openapi.json/../admin/keys"),
    *(b"/metrics", b"/%6detrics", b"http://evil/metrics", b"/dashboard"),
)
HOSTS = (
    *(
        b"host: a",
        b"host: evil/health/live?",
        b"host: evil/health/live#",
        b"host: a\r\nhost: b",
        b"host:",
        b"x: no-host",
    ),
    *(b"host: a:0@evil", b"host: a\r\nx-original-url: /health/live", b"host: a\r\nx-rewrite-url: /health/live"),
    *(b"host: a\r\nx-forwarded-prefix: /health", b"host: a\r\nx-http-method-override: GET", b"host: [::1"),
    *(b"host: a\r\nx-forwarded-port: 1", b"host: a\r\nforwarded: for=127.0.0.1;host=localhost"),
)


@pytest.mark.parametrize("target", ADMIN_TARGETS)
def test_administration_has_no_second_way_in(guarded: GatewayProcess, target: bytes) -> None:
    """With a port of its own, nothing of administration is served on the other, however the path is written."""
    secret = (guarded.home / "admin.key").read_text("utf-8").strip()
    for method in (b"GET", b"HEAD", b"POST"):
        answer = exchange(
            guarded.port, _with_key(guarded, method + b" " + target + b" HTTP/1.1", b"host: a", secret=secret)
        )
        assert statuses(answer)[0] in {400, 404, 405}, answer
        assert b"key_" not in answer
        assert b"ponder_requests" not in answer


@pytest.mark.parametrize("host", HOSTS)
def test_no_host_opens_a_door(gateway: GatewayProcess, host: bytes) -> None:
    """Host and its relatives decide nothing (CVE-2026-48710): without a key administration answers 401, or 400."""
    for target in (b"/admin/keys", b"http://evil/admin/keys", b"/%61dmin/keys"):
        answer = exchange(gateway.port, b"GET " + target + b" HTTP/1.1\r\n" + host + b"\r\nconnection: close\r\n\r\n")
        assert statuses(answer)[0] in {400, 401}, answer
    answer = exchange(gateway.port, b"GET /health/live HTTP/1.1\r\n" + host + b"\r\nconnection: close\r\n\r\n")
    assert statuses(answer)[0] in {200, 400}, answer


def test_a_model_name_becomes_no_header(guarded: GatewayProcess) -> None:
    """A configured name with line ends is shown with question marks, in one header."""
    body = json.dumps({"model": EVIL, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    lines = (b"host: a", b"content-length: %d" % len(body))
    head, _, rest = exchange(
        guarded.port, _with_key(guarded, b"POST /v1/chat/completions HTTP/1.1", *lines, secret=guarded.key) + body
    ).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nx-injected" not in head
    assert b"x-ponder-arm: evil??x-injected: 1????{}\r\n" in head + b"\r\n"
    assert json.loads(rest)["object"] == "chat.completion"


FORGED = '\r\n{"event": "forged"}\n\x1b[31m\u2028'


@pytest.mark.parametrize(
    "members",
    [
        {"model": f"m{FORGED}"},
        {"model": EVIL},
        {"ponder": {"tags": {FORGED: FORGED}}},
        {"ponder": {"category": f"math{FORGED}"}},
        {"ponder": {FORGED: 1}},
        {"user": FORGED, "metadata": {"user_id": FORGED}},
        {FORGED: FORGED},
    ],
)
def test_no_value_becomes_a_header_or_a_log_line(guarded: GatewayProcess, members: dict[str, object]) -> None:
    """Line ends in model names, tags, hints and members stay inside JSON strings, in answers and in the log."""
    answer = guarded.post(
        "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "Hello"}], **members}
    )
    assert answer.status_code in {200, 400, 404}
    assert "x-injected" not in answer.headers
    assert "forged" not in str(answer.headers)
    line = guarded.log_line(answer.headers["x-ponder-request-id"])
    assert line["event"] != "forged"
    for each in guarded.log.splitlines():
        assert not each.startswith('{"event": "forged"')
        assert "\x1b" not in each


DEEPEST = 200


def _nested(depth: int) -> bytes:
    """A request whose JSON is ``depth`` levels deep: the body itself is the first."""
    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"model":"m","messages":[{"role":"user","content":"Hello"}],"x":' + inner + b"}"


@pytest.mark.parametrize("escape", [b"", b'"\\ud800",', b'"\\u0041",'])
def test_the_limit_of_depth_is_exact(guarded: GatewayProcess, escape: bytes) -> None:
    """A body of 200 levels is served and one of 201 refused, by whichever parser it needs."""
    for depth, status in ((DEEPEST - 1, 200), (DEEPEST, 200), (DEEPEST + 1, 400), (1000, 400), (100_000, 400)):
        body = _nested(depth).replace(b'"x":[', b'"x":[' + escape).replace(b",]", b"]")
        answer = guarded.post("/v1/chat/completions", content=body)
        assert answer.status_code == status, (depth, answer.text[:200])
    assert guarded.get("/health/live").status_code == httpx.codes.OK


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b"[" * 500_000 + b"]" * 500_000,
        b'{"model":"m","x":"\\ud800",' + b'"a":{' * 100_000,
        b'{"model":"m","ponder":{"tags":' + b"[" * 300 + b"]" * 300 + b"}}",
    ],
    ids=["open arrays", "open objects", "closed arrays", "by the tolerant parser", "in hints"],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"])
def test_deep_bodies_are_refused(guarded: GatewayProcess, path: str, body: bytes) -> None:
    """Nesting beyond all measure is a 400 at every endpoint, and not the end of the process."""
    assert guarded.post(path, content=body).status_code == 400


def test_brackets_in_text_are_no_depth(guarded: GatewayProcess) -> None:
    """A prompt may hold as many brackets as it likes."""
    body = {"model": "m", "messages": [{"role": "user", "content": "[{" * 5000}]}
    assert guarded.post("/v1/chat/completions", json=body).status_code == 200
