"""The folders that policies lie in: those that are shipped, and the operator's own, which go before them.

Each policy is a folder with a ``policy.yaml``. All of them are read, or none is taken.
"""

from __future__ import annotations

import contextlib
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from gateway.errors import ConfigurationError
from gateway.policy.cases import CasesDocument, read_cases
from gateway.policy.reading import Policy, read_policy
from gateway.settings import Settings

_CHECKOUT = Path(__file__).parents[2] / "policies"
SHIPPED: Final = _CHECKOUT if _CHECKOUT.is_dir() else Path(sysconfig.get_path("data"), "share", "ponder", "policies")
"""In a checkout beside this package, as migrations do; under the environment's ``share/ponder`` from a wheel."""

_FOLDER = "policies"
_FILE = "policy.yaml"
_CASES = "cases.yaml"
_OTHER_ENDINGS = ("policy.yml", "policy.json")

Stamp: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Which files there are, which ones they are, when they were written and how long they are."""


class PolicyFiles:
    """The policies beside one ``ponder.yaml``."""

    def __init__(self, config: Path, *, shipped: Path = SHIPPED) -> None:
        self._shipped = shipped
        self._beside = config.parent
        self._folders: tuple[Path, ...] = (shipped, self._beside / _FOLDER)

    def read(self, settings: Settings) -> Mapping[str, Policy]:
        """Every policy by its name; of two of one name, the operator's.

        Raises ConfigurationError with the faults of all of them, and where the policy to use is none of them.
        """
        policies: dict[str, Policy] = {}
        faults: list[str] = []
        for name, file in self.files(settings).items():
            try:
                policies[name] = read_policy(name, _text(name, file))
            except ConfigurationError as fault:
                faults.append(fault.message)
        if faults:
            raise ConfigurationError("\n".join(faults))
        if policies and settings.policy not in policies:
            raise ConfigurationError(
                f"policy: there is no policy {settings.policy!r}; there are: {', '.join(sorted(policies))}"
            )
        return policies

    def files(self, settings: Settings) -> Mapping[str, Path]:
        """The file of every policy by its name. Raises ConfigurationError where ``policies_dir`` is no folder."""
        own = self._beside / (settings.policies_dir or _FOLDER)
        if settings.policies_dir is not None and not own.is_dir():
            raise ConfigurationError(f"policies_dir: there is no folder {settings.policies_dir!r} beside ponder.yaml")
        self._folders = (self._shipped, own)
        try:
            return _found(self._folders)
        except OSError as fault:  # a folder that is being replaced
            raise ConfigurationError(f"the folders of policies cannot be read: {fault.strerror}") from fault

    def cases(self, name: str) -> CasesDocument | None:
        """The cases beside a policy of the folders that were read last, if there are any.

        Raises ConfigurationError.
        """
        file = _found(self._folders).get(name)
        beside = None if file is None else file.with_name(_CASES)
        return read_cases(name, _text(name, beside)) if beside is not None and beside.is_file() else None

    def stamp(self) -> Stamp:
        """Something that changes when a policy does, of the folders that were read last."""
        stamps = []
        # A folder that goes away meanwhile is seen as it is at the next look.
        with contextlib.suppress(OSError):
            for name, file in _found(self._folders).items():
                status = file.stat()
                stamps.append((name, status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(stamps)


def _found(folders: tuple[Path, ...]) -> dict[str, Path]:
    """The policies' files by name, in the order of their names."""
    files = {file.parent.name: file for folder in folders for file in folder.glob(f"*/{_FILE}")}
    misnamed = [
        file for folder in folders for ending in _OTHER_ENDINGS for file in folder.glob(f"*/{ending}")
        if file.parent.name not in files
    ]  # fmt: skip
    return dict(sorted({**files, **{file.parent.name: file for file in misnamed}}.items()))


def _text(name: str, file: Path) -> str:
    if file.name not in {_FILE, _CASES}:
        raise ConfigurationError(f"{name}/{file.name} must be called {_FILE}")
    try:
        return file.read_text("utf-8")
    except OSError as fault:
        raise ConfigurationError(f"{name}/{file.name} cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigurationError(f"{name}/{file.name} is not UTF-8 text at byte {fault.start + 1}") from fault
