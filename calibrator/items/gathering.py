"""The items of a policy, put together from the sources that it names, each in the cell that traffic like it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from calibrator.items.generated import generate
from calibrator.items.golden import FOLDER, read_golden
from calibrator.items.item import Item
from gateway.difficulty.classifier import Learned
from gateway.domain.prediction import Anchor, Category, Prompt
from gateway.errors import ConfigurationError
from gateway.policy.items_document import ItemsDocument
from gateway.policy.ready import ReadyPolicy


def gather(
    wanted: ItemsDocument, policy_file: Path, policy: ReadyPolicy, logged: Sequence[Item] = ()
) -> tuple[Item, ...]:
    """All items, in the order of their ids. A category and difficulty that an item does not name are predicted.

    So it counts where its like counts in traffic; one that traffic's classifier would be unsure of is ``other``.
    ``logged`` are those that were drawn from traffic itself.
    Raises ConfigurationError with the fault of a source, and where there is no item at all.
    """
    found = (*_written(wanted, policy_file), *logged)
    if not found:
        raise ConfigurationError(
            f"there is nothing to measure on: put items into {policy_file.parent / FOLDER}/*.jsonl, or name another "
            "source under calibrate.items"
        )
    placed = {item.id: _placed(item, policy) for item in found}
    if len(placed) != len(found):
        raise ConfigurationError("two items of different sources have the same id; give the golden one another")
    return tuple(placed[name] for name in sorted(placed))


def _written(wanted: ItemsDocument, policy_file: Path) -> Sequence[Item]:
    golden = read_golden(policy_file.parent) if wanted.golden else ()
    generated = () if wanted.generated is None else tuple(generate(wanted.generated))
    return (*golden, *generated)


@cache
def _classifier() -> Learned:
    return Learned.load()


def _placed(item: Item, policy: ReadyPolicy) -> Item:
    if item.category is not None and item.difficulty is not None:
        return item
    predicted = _classifier().classify(Prompt(item.problem.question))
    category = item.category
    if category is None:
        category = predicted.category if predicted.confidence >= policy.unsure_below else Category.OTHER.value
    weak = predicted.success.get(Anchor.WEAK)
    tier = None if weak is None else policy.cuts.tier(weak).value
    return replace(item, category=category, difficulty=item.difficulty or tier)
