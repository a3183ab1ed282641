"""litellm's price list, read as data: the JSON file inside its wheel, never its code.

litellm takes seconds and hundreds of megabytes to import; its file takes about 25 milliseconds.
A :class:`PriceList` holds the parsed file (6 MB), so it is read where models are put together and
then let go; the prices taken from it are small and stand on their own.

The file's keys are per-token dollars, ``CLASS[_above_Nk_tokens][_TIER]``, for example
``input_cost_per_token_above_200k_tokens_priority``. A rate of zero in it counts as left out: the
file says zero where it does not know, so only an operator can make a model free.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from gateway.domain.pricing import (
    LongContext,
    OffPeak,
    Price,
    Rates,
    Schedule,
    TokenClass,
    Window,
    complete,
    scaled,
)
from gateway.errors import ConfigurationError

_FILE = "model_prices_and_context_window_backup.json"

_CLASSES = {
    "input_cost_per_token": TokenClass.INPUT,
    "cache_read_input_token_cost": TokenClass.CACHED,
    "cache_creation_input_token_cost": TokenClass.CACHE_WRITE_5M,
    "cache_creation_input_token_cost_above_1hr": TokenClass.CACHE_WRITE_1H,
    "input_cost_per_audio_token": TokenClass.AUDIO_INPUT,
    "output_cost_per_token": TokenClass.OUTPUT,
    "output_cost_per_reasoning_token": TokenClass.THINKING,
    "output_cost_per_audio_token": TokenClass.AUDIO_OUTPUT,
}
_KEY = re.compile(
    rf"(?P<name>{'|'.join(_CLASSES)})(?:_above_(?P<thousands>\d+)k_tokens)?(?:_(?P<tier>[a-z]+))?",
)
_STANDARD = ""
_TIER_NAMES = {"batches": "batch"}
"""Tiers that answers report under another name than the file's."""

_RELATED = {
    "azure": frozenset({"azure_text"}),
    "bedrock": frozenset({"bedrock_converse"}),
    "cohere": frozenset({"cohere_chat"}),
    "openai": frozenset({"text-completion-openai"}),
}
"""Providers of the file that one upstream serves, beside those named ``PROVIDER-…``."""

_INCLUSIVE_THRESHOLDS = frozenset({"xai"})
"""Providers whose long-context rates begin at the threshold itself; elsewhere they begin above it."""

_NO_MODELS = ("ft:", "fireworks-ai-", "together-ai-")
"""Entries such as ``together-ai-4.1b-8b`` price any model of a size; none is the name of a model."""

_DAY_S = 86400
_ALL_WEEK = frozenset(range(1, 8))

_Given: TypeAlias = dict[TokenClass, Decimal]
_GivenByTier: TypeAlias = dict[str, dict[int, _Given]]
"""Rates as listed, by tier and by the least prompt tokens at which they hold."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """What the price list says of a model. None stands where it says nothing.

    ``abilities`` are the file's ``supports_…`` flags that are true: ``vision``,
    ``function_calling``, ``reasoning``, ``response_schema``, ….
    """

    name: str
    provider: str
    mode: str | None
    price: Price | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    retires_on: date | None
    abilities: frozenset[str]


class PriceList:
    """The models of a price file; make one with :meth:`read`."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self._entries = entries

    @classmethod
    def read(cls, path: Path | None = None) -> PriceList:
        """Read ``path``, by default the file of the installed litellm.

        Raises :class:`ConfigurationError` when it is missing or is not a price file.
        """
        path = path or installed_file()
        try:
            # Decimal straight from the text: a float would already have lost the last digits.
            entries = json.loads(path.read_bytes(), parse_float=Decimal)
        except (OSError, ValueError) as fault:
            raise ConfigurationError(f"the price list {path.name} cannot be read: {fault}") from fault
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise ConfigurationError(f"the price list {path.name} must be a JSON object of objects")
        return cls(entries)

    def find(self, provider: str, model: str) -> ListedModel | None:
        """The entry for a model at a provider, or None.

        Tried in this order: ``PROVIDER/MODEL``; ``MODEL`` as it stands; for OpenAI's fine-tuned
        models (``ft:BASE:organisation:…``) ``ft:BASE``. An entry counts only if it belongs to the
        provider, since hosts of the same model charge differently. Nothing is guessed from similar
        names: a dated version may cost more than the name without its date.
        """
        names = [f"{provider}/{model}", model]
        if model.startswith("ft:"):
            names.append(":".join(model.split(":")[:2]))
        for name in names:
            entry = self._entries.get(name)
            if entry is not None and _belongs(entry, provider):
                return _listed(name, entry)
        return None

    def models(self, provider: str, mode: str = "chat", *, retired_by: date | None = None) -> tuple[str, ...]:
        """The provider's own names of its priced models of one mode, in alphabetical order.

        Without models that retire on or before ``retired_by``, and without the ``ft:`` entries,
        which are prices of models that only their owners have, or of models by size.
        """
        prefix = f"{provider}/"
        names = set()
        for name, entry in self._entries.items():
            if entry.get("mode") != mode or name.startswith(_NO_MODELS) or not _belongs(entry, provider):
                continue
            retires_on = _date(entry.get("deprecation_date"))
            if retired_by is not None and retires_on is not None and retires_on <= retired_by:
                continue
            if _price(entry) is not None:
                names.add(name.removeprefix(prefix))
        return tuple(sorted(names))


def installed_file() -> Path:
    """Where the installed litellm keeps its price file; litellm itself is not imported."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _FILE
        if path.is_file():
            return path
    raise ConfigurationError(f"litellm is not installed, or has no {_FILE}: install the pinned requirements")


def _belongs(entry: Mapping[str, Any], provider: str) -> bool:
    owner = entry.get("litellm_provider")
    if not isinstance(owner, str):
        return False
    return owner == provider or owner.startswith(f"{provider}-") or owner in _RELATED.get(provider, ())


def _listed(name: str, entry: Mapping[str, Any]) -> ListedModel:
    mode = entry.get("mode")
    return ListedModel(
        name=name,
        provider=str(entry["litellm_provider"]),
        mode=mode if isinstance(mode, str) else None,
        price=_price(entry),
        max_input_tokens=_count(entry.get("max_input_tokens")),
        max_output_tokens=_count(entry.get("max_output_tokens")),
        retires_on=_date(entry.get("deprecation_date")),
        abilities=frozenset(
            key.removeprefix("supports_")
            for key, value in entry.items()
            if value is True and key.startswith("supports_")
        ),
    )


def _price(entry: Mapping[str, Any]) -> Price | None:
    """The entry's price, or None where input or output has none."""
    given = _given(entry)
    standard = given.pop(_STANDARD, {})
    if entry.get("mode") == "embedding":
        # An embedding has no output tokens, and the file says zero or nothing for them.
        standard = {step: {TokenClass.OUTPUT: Decimal(0)} | rates for step, rates in standard.items()}
    base = standard.get(0, {})
    if TokenClass.INPUT not in base or TokenClass.OUTPUT not in base:
        return None
    schedule = _schedule(standard, base)
    tiers = {_TIER_NAMES.get(tier, tier): _tier_schedule(rates, base, schedule) for tier, rates in given.items()}
    multipliers = entry.get("provider_specific_entry")
    fast = _rate(multipliers.get("fast")) if isinstance(multipliers, dict) else None
    if fast is not None:
        # Anthropic's fast mode multiplies every rate: platform.claude.com/docs, "Fast mode".
        tiers.setdefault("fast", schedule.times(fast))
    elif "priority" in tiers:
        # OpenAI takes either name in a request, and answers with "priority".
        tiers.setdefault("fast", tiers["priority"])
    return Price(schedule, tiers, _off_peak(entry.get("off_peak_pricing"), base), _search_fee(entry))


def _given(entry: Mapping[str, Any]) -> _GivenByTier:
    """The rates that the entry lists, sorted out by tier and prompt length."""
    given: _GivenByTier = {}
    first_dear_token = 0 if entry.get("litellm_provider") in _INCLUSIVE_THRESHOLDS else 1
    for row_from, key, value in _items(entry):
        match = _KEY.fullmatch(key)
        rate = _rate(value)
        if match is None or rate is None:
            continue
        from_tokens = int(match["thousands"]) * 1000 + first_dear_token if match["thousands"] else row_from
        tier = given.setdefault(match["tier"] or _STANDARD, {})
        tier.setdefault(from_tokens, {})[_CLASSES[match["name"]]] = rate
    for steps in given.values():
        for rates in steps.values():
            # Where thinking costs what output costs, it has no price of its own: a tier that
            # lists only output then covers both.
            if rates.get(TokenClass.THINKING) == rates.get(TokenClass.OUTPUT):
                rates.pop(TokenClass.THINKING, None)
    return given


def _items(entry: Mapping[str, Any]) -> Iterator[tuple[int, str, Any]]:
    """Keys and values with the least prompt tokens at which they hold.

    Alibaba's models list whole tables by ``range``: above the first number, up to the second.
    """
    for key, value in entry.items():
        yield 0, key, value
    for row in entry.get("tiered_pricing") or ():
        above = row["range"][0] if "range" in row else 0
        for key, value in row.items():
            yield int(above) + 1 if above else 0, key, value


def _schedule(steps: Mapping[int, _Given], base: _Given) -> Schedule:
    longer = sorted((start, rates) for start, rates in steps.items() if start)
    return Schedule(
        complete(base),
        tuple(LongContext(start, complete(rates, base)) for start, rates in longer),
    )


def _tier_schedule(steps: Mapping[int, _Given], base: _Given, standard: Schedule) -> Schedule:
    """A tier's schedule; a long context that only the standard has is scaled to the tier."""
    rates = complete(steps.get(0, {}), base)
    longer: dict[int, Rates] = {
        step.from_tokens: scaled(step.rates, rates, standard.rates) for step in standard.long_context
    }
    longer |= {start: complete(given, steps.get(0, {}), base) for start, given in steps.items() if start}
    return Schedule(rates, tuple(LongContext(start, longer[start]) for start in sorted(longer)))


def _off_peak(listed: Any, base: _Given) -> OffPeak | None:
    """Rates of quiet hours, read only where they are listed by UTC weekdays; else the day is dear."""
    if not isinstance(listed, dict) or "weekday_timezone" in listed:
        return None
    given = {
        _CLASSES[key]: rate for key, value in listed.items() if key in _CLASSES and (rate := _rate(value)) is not None
    }
    rules = [*listed.get("windows", ()), listed]
    windows = tuple(
        window
        for rule in rules
        for hours in _hours(rule.get("hours_utc", ()))
        for window in _windows(hours, frozenset(rule.get("weekdays", _ALL_WEEK)))
    )
    return OffPeak(windows, Schedule(complete(given, base))) if windows else None


def _hours(listed: str | Iterable[str]) -> Iterable[str]:
    return (listed,) if isinstance(listed, str) else listed


def _windows(hours: str, weekdays: frozenset[int]) -> tuple[Window, ...]:
    """``22:00-02:00`` is the first two and the last two hours of each of the weekdays."""
    start_s, end_s = (int(clock[:2]) * 3600 + int(clock[3:]) * 60 for clock in hours.split("-"))
    if start_s < end_s:
        return (Window(weekdays, start_s, end_s),)
    return (Window(weekdays, start_s, _DAY_S), Window(weekdays, 0, end_s))


def _search_fee(entry: Mapping[str, Any]) -> Decimal | None:
    """The fee of one web search: the dearest by size of context, which usage does not report."""
    fees = entry.get("search_context_cost_per_query")
    if not isinstance(fees, dict):
        return None
    return max((rate for fee in fees.values() if (rate := _rate(fee)) is not None), default=None)


def _rate(value: Any) -> Decimal | None:
    """A positive number as listed, or None: zero is what the file says when it does not know."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        return None
    return Decimal(value) if value > 0 else None


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) and value > 0 else None


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
