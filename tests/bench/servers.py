"""The servers under measurement: how each is started, addressed and known to be ready."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from string import Template

from tests.bench.processes import BenchError, Child, plain_environment, running, wait_for_answer

HERE = Path(__file__).parent
CHAT = "/v1/chat/completions"
ASK = (HERE / "ask.json").read_bytes()
ANSWER = (HERE / "answer.json").read_bytes()
AUTO_ASK = HERE / "auto.json"
"""For `auto`, always the same: the classifier remembers it."""
NEW_ASK = HERE / "auto_new.json"
"""For `auto`, with a number in its text that is another one in each request: every prompt is classified anew."""
MODEL: str = json.loads(ASK)["model"]

LOAD_CORE, SERVER_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]
"""The first core carries the load generator and the mock upstream, the second the server under measurement."""


_BESIDE_PATIENCE_S = 10.0

HOME = "home"
"""Where, in its folder, a gateway keeps its key and its database."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server is to live and whom it is to call."""

    folder: Path
    port: int
    upstream: str


@dataclass(frozen=True, slots=True)
class Launch:
    """A server's command line, and the headers that a call to it needs once it is up.

    ``beside`` is a server that it needs, run on the load's core; ``beside_port`` tells when that one is up.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    headers: Callable[[], Mapping[str, str]]
    beside: tuple[str, ...] = ()
    beside_port: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One server that can be measured."""

    name: str
    version: str
    prepare: Callable[[Site], Launch]
    patience_s: float = 30.0
    ask: Path = HERE / "ask.json"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that has given its first answer."""

    name: str
    port: int
    headers: Mapping[str, str]
    child: Child
    start_s: float
    folder: Path
    ask: Path

    @property
    def base_url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def serving(row: Row, folder: Path, upstream: str, core: int = SERVER_CORE) -> Iterator[Server]:
    """Start a row afresh and hand it out once it has answered."""
    port = free_port()
    place = folder / f"{row.name}-{port}"
    place.mkdir()
    launch = row.prepare(Site(place, port, upstream))
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            if launch.beside:
                stack.enter_context(_beside(launch, place))
                started = time.monotonic()
            child = stack.enter_context(
                running(launch.command, core=core, environment=launch.environment, folder=place, log_name=row.name)
            )
            wait_for_answer(child, port, CHAT, row.ask.read_bytes(), headers=launch.headers, patience_s=row.patience_s)
            start_s = time.monotonic() - started
            yield Server(row.name, port, launch.headers(), child, start_s, place, row.ask)
    except FileNotFoundError as fault:
        raise BenchError(f"{row.name} cannot be started: {fault}") from fault


@contextmanager
def _beside(launch: Launch, place: Path) -> Iterator[None]:
    """The server that a row needs, up."""
    with running(
        launch.beside, core=LOAD_CORE, environment=plain_environment(), folder=place, log_name="beside"
    ) as child:
        give_up = time.monotonic() + _BESIDE_PATIENCE_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", launch.beside_port)) == 0:
                    break
            if time.monotonic() > give_up:
                raise BenchError(f"the server beside it did not start:\n{child.tail()}")
            time.sleep(0.01)
        yield


def json_headers() -> Mapping[str, str]:
    """The headers of a caller without a key."""
    return {"content-type": "application/json"}


def bearer(key: str) -> Mapping[str, str]:
    """The headers of a caller with this key."""
    return {"content-type": "application/json", "authorization": f"Bearer {key}"}


def bearer_headers(key: str) -> Callable[[], Mapping[str, str]]:
    """The headers of a caller whose key is known beforehand."""
    return partial(bearer, key)


def _nginx(site: Site, servers: str) -> Launch:
    (site.folder / "nginx.conf").write_text(Template((HERE / "nginx.conf").read_text()).substitute(servers=servers))
    command = ("nginx", "-e", "nginx.err", "-p", f"{site.folder}/", "-c", "nginx.conf")
    return Launch(command, plain_environment(), json_headers)


def _prepare_mock(site: Site) -> Launch:
    return _nginx(
        site,
        f"""server {{
    listen 127.0.0.1:{site.port} backlog=4096;
    location = {CHAT} {{ default_type application/json; return 200 '{ANSWER.decode()}'; }}
    location / {{ return 404; }}
  }}""",
    )


def _prepare_nginx_proxy(site: Site) -> Launch:
    return _nginx(
        site,
        f"""upstream mock {{
    server {site.upstream.removeprefix("http://")};
    keepalive 256;
    keepalive_requests 1000000;
  }}
  server {{
    listen 127.0.0.1:{site.port} backlog=4096;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}""",
    )


def _prepare_reference(name: str, site: Site) -> Launch:
    options = f"--host 127.0.0.1 --port {site.port} --loop uvloop --http httptools --no-access-log --log-level warning"
    command = (sys.executable, "-m", "uvicorn", f"tests.bench.apps:{name}", *options.split())
    return Launch(command, plain_environment(BENCH_UPSTREAM=site.upstream), json_headers)


def _prepare_paced_mock(site: Site) -> Launch:
    command = (sys.executable, "-m", "tests.bench.paced_mock", str(site.port))
    return Launch(command, plain_environment(), json_headers)


def _nginx_version() -> str:
    shown = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/[\d.]+", shown.stderr)
    return found[0] if found else "nginx"


def stack(*names: str) -> str:
    """The versions of these packages, in words."""
    return ", ".join(f"{name} {version(name)}" for name in names)


REFERENCE_STACK = ("uvicorn", "uvloop", "httptools", "aiohttp", "orjson")


def mock() -> Row:
    """The upstream that answers at once: it should be far faster than everything measured against it."""
    return Row("direct", _nginx_version(), _prepare_mock)


def paced_mock() -> Row:
    """The upstream that streams 50 chunks 20 ms apart."""
    return Row("direct", stack("uvloop", "httptools"), _prepare_paced_mock)


def nginx_proxy() -> Row:
    """What forwarding costs without any reading: the physical limit."""
    return Row("nginx", _nginx_version(), _prepare_nginx_proxy)


def floor() -> Row:
    """The FastAPI route that every throughput is a share of."""
    return Row("floor", stack("fastapi", "starlette", *REFERENCE_STACK), partial(_prepare_reference, "floor"))


def bare() -> Row:
    """The same without a framework."""
    return Row("bare", stack(*REFERENCE_STACK), partial(_prepare_reference, "bare"))


def sampled(row: Row, into: Path) -> Row:
    """The same Python server under the sampler of CPU time, which writes to ``into``."""
    return replace(row, prepare=partial(_prepare_sampled, row, into))


def _prepare_sampled(row: Row, into: Path, site: Site) -> Launch:
    launch = row.prepare(site)
    python, option, *module = launch.command
    return replace(launch, command=(python, option, "tests.bench.sampled", str(into), *module))
