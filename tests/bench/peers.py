"""The gateways we compare with, each installed once, at its pinned version, into an environment of its own."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench.processes import BenchError, plain_environment
from tests.bench.servers import HERE, MODEL, Launch, Row, Site, bearer_headers

_LOCKS = HERE / "peers"
_CACHE = HERE.parents[1] / ".venv-bench"
_INSTALL_PATIENCE_S = 900


def litellm() -> Row:
    """The LiteLLM proxy with one model, one worker and no database."""
    lock = _LOCKS / "litellm.txt"
    home = _CACHE / "litellm"
    python = home / "bin" / "python"
    if _is_stale(home, lock):
        _run("LiteLLM", [sys.executable, "-m", "venv", "--clear", str(home)])
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        _run("LiteLLM", [*uv, "--require-hashes", "-r", str(lock)])
        _mark_fresh(home, lock)
    show = "import importlib.metadata as m; print(m.version('litellm'))"
    release = subprocess.run([python, "-c", show], capture_output=True, text=True, check=True).stdout.strip()
    return Row("litellm", f"litellm {release}", partial(_prepare_litellm, home), patience_s=120)


def _prepare_litellm(home: Path, site: Site) -> Launch:
    master_key = "sk-" + secrets.token_urlsafe(48)
    configuration = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": f"{site.upstream}/v1",
                    "api_key": "sk-benchmark",
                },
            }
        ],
        # It refuses a temperature for this model family otherwise; the ask is the same for every row.
        "litellm_settings": {"drop_params": True},
        "general_settings": {"master_key": master_key},
    }
    path = site.folder / "litellm.yaml"
    path.write_text(json.dumps(configuration))
    options = f"--host 127.0.0.1 --port {site.port} --num_workers 1 --config".split()
    # Its own tables instead of a download at every start, and no line per request.
    environment = plain_environment(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", LITELLM_MODE="PRODUCTION")
    return Launch((str(home / "bin" / "litellm"), *options, str(path)), environment, bearer_headers(master_key))


def portkey() -> Row:
    """The Portkey gateway on Node, told its upstream by the headers of each call."""
    lock = _LOCKS / "package-lock.json"
    home = _CACHE / "portkey"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise BenchError(f"Portkey needs {program}, which is not installed")
    if _is_stale(home, lock):
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_LOCKS / name, home)
        _run("Portkey", ["npm", "ci", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund"])
        _mark_fresh(home, lock)
    package = home / "node_modules" / "@portkey-ai" / "gateway"
    release = json.loads((package / "package.json").read_text())["version"]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return Row("portkey", f"portkey {release}, node {node}", partial(_prepare_portkey, package))


def _prepare_portkey(package: Path, site: Site) -> Launch:
    # What `npx gateway` runs, without npx's own process around it.
    command = ("node", str(package / "build" / "start-server.js"), f"--port={site.port}", "--headless")
    headers = {
        **bearer_headers("sk-benchmark")(),
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{site.upstream}/v1",
    }
    return Launch(command, plain_environment(), lambda: headers)


def _is_stale(home: Path, lock: Path) -> bool:
    marker = home / ".lock-digest"
    return not marker.exists() or marker.read_text() != _digest(lock)


def _mark_fresh(home: Path, lock: Path) -> None:
    (home / ".lock-digest").write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _run(peer: str, command: Sequence[str]) -> None:
    """Run one step of an installation; raise BenchError with the end of its output if it fails."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_PATIENCE_S)
    except subprocess.CalledProcessError as fault:
        raise BenchError(f"{peer} cannot be installed: {fault.stderr.strip()[-800:]}") from fault
    except subprocess.TimeoutExpired as fault:
        raise BenchError(f"{peer} could not be installed within {_INSTALL_PATIENCE_S} s") from fault
