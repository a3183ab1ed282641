"""From what a run saw to verdicts, a table by minute, and the page that tells them."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.bench.report import Verdict
from tests.soak.books import Books, failures
from tests.soak.chaos import Chaos, Step
from tests.soak.load import Answer, Outcome, is_timed
from tests.soak.upgrading import Upgrade
from tests.soak.watching import Sample

MINUTE_S = 60.0
CALM = "nothing yet"
_FLAT = 5.0
"""Percent by which memory may grow."""
_FILES = 16
"""Open files more than before that are no leak: connections to a database that has just come back."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that was done on purpose, from when to when on the monotonic clock."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Story:
    """A run: what was done, and what was seen of it.

    From ``began`` until ``troubled`` all was calm. ``lasting`` are the gateways that were never restarted;
    their memory is compared from ``warm`` on.
    """

    minutes: float
    peak_per_s: float
    rate_per_s: float
    began: float
    troubled: float
    warm: float
    ended: float
    answers: Sequence[Answer]
    troubles: Sequence[Trouble]
    samples: Sequence[Sample]
    lasting: Sequence[int]
    books: Books


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of a run."""

    number: int
    asked: int
    failed: int
    p50_ms: float
    p99_ms: float
    resident_mib: tuple[float, ...]
    open_files: tuple[int, ...]
    troubles: tuple[str, ...]


def quantile_ms(answers: Iterable[Answer], share: float) -> float:
    """A quantile of the latencies that tell of the gateway; 0 where there are none."""
    found = sorted(answer.latency_s for answer in answers if is_timed(answer))
    return 1000 * found[min(len(found) - 1, int(share * len(found)))] if found else 0.0


def minutes(story: Story) -> list[Minute]:
    """The run, minute by minute."""
    gateways = sorted({sample.gateway for sample in story.samples})
    table = []
    for number in range(max(1, round((story.ended - story.began) / MINUTE_S))):
        start = story.began + number * MINUTE_S
        end = start + MINUTE_S
        answers = [answer for answer in story.answers if start <= answer.at < end]
        samples = [sample for sample in story.samples if start <= sample.at < end]
        table.append(
            Minute(
                number=number + 1,
                asked=len(answers),
                failed=len(failures(answers)),
                p50_ms=quantile_ms(answers, 0.5),
                p99_ms=quantile_ms(answers, 0.99),
                resident_mib=tuple(_middle(samples, each, "resident_mib") for each in gateways),
                open_files=tuple(round(_middle(samples, each, "open_files")) for each in gateways),
                troubles=tuple(each.name for each in story.troubles if each.began < end and each.ended >= start),
            )
        )
    return table


def by_trouble(story: Story) -> dict[str, list[Answer]]:
    """What was asked from each trouble on, until the next one began: what it leaves to catch up with is its own."""
    since = [0.0, *(each.began for each in story.troubles)]
    names = [CALM, *(each.name for each in story.troubles)]
    found: dict[str, list[Answer]] = {name: [] for name in names}
    for answer in story.answers:
        found[names[bisect_right(since, answer.at) - 1]].append(answer)
    return found


def _middle(samples: Sequence[Sample], gateway: int, what: str) -> float:
    values = [getattr(sample, what) for sample in samples if sample.gateway == gateway]
    return statistics.median(values) if values else 0.0


def verdicts(story: Story) -> list[Verdict]:
    """What was asked of the run."""
    calm = [answer for answer in story.answers if story.began <= answer.at < story.troubled]
    p99 = quantile_ms(story.answers, 0.99) / quantile_ms(calm, 0.99)
    judged = _of_books(story.books, story.answers)
    judged.append(Verdict("p99 latency of the whole run", "its calm beginning", p99, 2, "×", True))
    since = "since every fault was met once" if story.warm > story.troubled else "since its calm beginning"
    for gateway in story.lasting:
        first, last = (_window(story, gateway, at_end=at_end) for at_end in (False, True))
        growth = 100 * (_middle(last, gateway, "resident_mib") / _middle(first, gateway, "resident_mib") - 1)
        files = _middle(last, gateway, "open_files") - _middle(first, gateway, "open_files")
        judged.append(Verdict(f"resident memory of gateway {gateway}, growth", since, growth, _FLAT, "%", True))
        judged.append(Verdict(f"open files of gateway {gateway}, more", since, files, _FILES, "", True))
    return judged


def _of_books(books: Books, answers: Sequence[Answer]) -> list[Verdict]:
    return [
        _none("requests that failed, or that no gateway took", f"{len(answers):,} asked", len(failures(answers))),
        _none("answered requests missing from the log", f"{books.rows:,} rows", books.lost),
        _none("requests twice in the log", f"{books.rows:,} rows", books.doubled),
        _none("requests with another result than their client saw", "the log", len(books.wrong)),
        _none("answered requests without a call", "the log", books.drawless),
        _none("requests that cost something else than their calls", "the log", books.uneven),
        _none("keys whose ledger is not the sum of the log", "to the nano-dollar", len(books.off)),
        _none("keys that overspent their budget", "budgets that ran out", len(books.overspent)),
    ]


def _none(name: str, baseline: str, measured: int) -> Verdict:
    return Verdict(name, baseline, measured, 0, "", True)


def _window(story: Story, gateway: int, *, at_end: bool) -> list[Sample]:
    """A minute's samples: the last one's, or those from when all was warm."""
    start = max(story.warm, story.ended - MINUTE_S) if at_end else story.warm
    return [each for each in story.samples if each.gateway == gateway and start <= each.at < start + MINUTE_S]


def soak_section(story: Story, machine: str, versions: str) -> str:
    """The run as a section of the page."""
    rows = [
        [
            str(each.number),
            f"{each.asked:,}",
            str(each.failed),
            f"{each.p50_ms:.1f}",
            f"{each.p99_ms:.1f}",
            " / ".join(f"{mib:.0f}" for mib in each.resident_mib),
            " / ".join(map(str, each.open_files)),
            ", ".join(each.troubles),
        ]
        for each in minutes(story)
    ]
    head = ["minute", "asked", "failed", "p50 ms", "p99 ms", "RSS MiB", "open files", "what was done"]
    return f"""\
{machine}; {versions}

{story.minutes:.3g} minutes at {story.rate_per_s:.0f} requests/s, 60% of the {story.peak_per_s:.0f} requests/s that the
same clients reach at their fastest here by one gateway, which is what is left while the other one is restarted; all
servers and clients on these cores. Requests are due at random
moments, whether earlier ones have been answered or not, and latency counts from then. Nothing is sent twice.

{_judged(verdicts(story))}
{_seen(story.answers, story.books)}
{_table(head, rows)}
By what was done last, from then until the next thing was done:

{_by_trouble(story)}"""


def _by_trouble(story: Story) -> str:
    rows = [
        [
            name,
            f"{100 * len(answers) / len(story.answers):.1f} %",
            *(f"{quantile_ms(answers, share):.1f}" for share in (0.5, 0.9, 0.99)),
        ]
        for name, answers in by_trouble(story).items()
    ]
    return _table(["what was done", "of all requests", "p50 ms", "p90 ms", "p99 ms"], rows)


def _judged(judged: Sequence[Verdict]) -> str:
    return _table(["asked of it", "against", "measured", "wanted", "verdict"], [_verdict(each) for each in judged])


def _seen(answers: Sequence[Answer], books: Books) -> str:
    seen = Counter(answer.outcome for answer in answers)
    return f"""\
Clients saw: {", ".join(f"{number:,} {outcome}" for outcome, number in seen.most_common())}. The log holds:
{", ".join(f"{number:,} {result}" for result, number in sorted(books.results.items()))}. *Severed* are
requests on connections of a gateway that was killed, *cut* are streams that the provider broke off, *exhausted*
are those of keys whose budget ran out; each on purpose.
"""


def chaos_verdicts(seen: Chaos) -> list[Verdict]:
    """What was asked of it."""
    spreads = [
        Verdict(f"{each.name}, in every gateway", "its answer", each.took_s, 2, "s", True) for each in seen.spreads
    ]
    return [*_of_books(seen.books, seen.answers), *spreads]


def chaos_section(seen: Chaos, machine: str, versions: str) -> str:
    """A round of chaos as a section of the page."""
    return f"""\
{machine}; {versions}

Three gateways with homes of their own, two workers and a beat on one PostgreSQL and one Redis
(`redis.when_away: open`), {seen.rate_per_s:g} requests/s through a balancer that believes `/health/ready`. Each
process is killed with SIGKILL and started again where it was; ways are cut for {seen.cut_s:g} seconds, once by
refusing connections and once by silence. Nothing is sent twice.

{_judged(chaos_verdicts(seen))}
{_seen(seen.answers, seen.books)}
{_steps(seen.steps)}"""


def upgrade_section(seen: Upgrade, machine: str, versions: str) -> str:
    """A rolling upgrade as a section of the page."""
    before, after = seen.schemas
    return f"""\
{machine}; {versions}

From {seen.old} to this checkout, both with this checkout's packages: two gateways, schema {before} to {after}.
Before a gateway is stopped a balancer takes it out. Nothing is sent twice.

{_judged(_of_books(seen.books, seen.answers))}
{_seen(seen.answers, seen.books)}
{_steps(seen.steps)}"""


def _steps(steps: Sequence[Step]) -> str:
    rows = [
        [
            step.name,
            f"{step.took_s:.1f}",
            f"{len(step.answers):,}",
            str(len(failures(step.answers))),
            str(sum(answer.outcome is Outcome.SEVERED for answer in step.answers)),
            f"{quantile_ms(step.answers, 0.5):.1f}",
            f"{quantile_ms(step.answers, 0.99):.1f}",
        ]
        for step in steps
    ]
    return _table(["what was done", "seconds", "asked", "failed", "severed", "p50 ms", "p99 ms"], rows)


def _verdict(verdict: Verdict) -> list[str]:
    wanted = f"{'≤' if verdict.is_lower_better else '≥'} {verdict.target:g} {verdict.unit}".strip()
    measured = f"{verdict.measured:.3g} {verdict.unit}".strip()
    return [verdict.name, verdict.baseline, measured, wanted, "met" if verdict.is_met else "MISSED"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
