"""The page ``docs/results/store.md``: what was measured, each part as far as it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench_store.dashboards import RATE, READERS, Beside, Compared
from tests.bench_store.loading import DAYS, Loaded
from tests.bench_store.questions import Answered, quantile
from tests.bench_store.upkeep import Forgotten, Size, SummedUp

_HEAD = """\
# The store at scale

Written by `make bench-store`; do not edit. {machine}. {versions}.
PostgreSQL is as it comes (`shared_buffers` 128 MB; only `max_wal_size` is raised, for loading), on the same machine as
everything else.
"""
_WRITING = """\
## Writing

{requests:,} requests of {days} days with one call each, in a partition a day. The sink writes batches of 500 into the
full tables, over one connection, one after another; it shares the cores with the server.

"""
_DASHBOARDS = """\
## Requests while dashboards refresh

One gateway on this database, asked {rate:.0f} times a second at a fixed pace; each answer is timed from when its
request was due. Turns of {seconds:.0f} s, without and with {readers} dashboards in alternation: each follows the
overview as its page does and lists requests every 10 s. The gateway and its dashboard's process have one core; the
load, its upstream, the worker and the dashboards' readers share the other; PostgreSQL takes what is free of both.

"""
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Findings:
    """What one run measured; None where a part was left out."""

    machine: str
    versions: str
    loaded: Loaded | None = None
    sink_per_s: float | None = None
    sizes: Mapping[str, Size] | None = None
    answered: Sequence[Answered] | None = None
    summed: SummedUp | None = None
    beside: Compared | None = None
    forgotten: Forgotten | None = None


def page(findings: Findings) -> str:
    """The whole page."""
    parts = [_HEAD.format(machine=findings.machine, versions=findings.versions)]
    if findings.loaded is not None:
        parts.append(_loading(findings.loaded, findings.sink_per_s))
    if findings.sizes is not None:
        parts.append(_sizes(findings.sizes))
    if findings.answered is not None:
        parts.append(_answers(findings.answered))
    if findings.beside is not None:
        parts.append(_beside(findings.beside))
    if findings.summed is not None:
        parts.append(_sums(findings.summed))
    if findings.forgotten is not None:
        parts.append(_forgetting(findings.forgotten))
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column of text and the others of figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _loading(loaded: Loaded, sink_per_s: float | None) -> str:
    rows = loaded.requests + loaded.draws
    figures = [
        ("rows written by the server itself (`generate_series`)", f"{rows:,} in {loaded.write_s:,.0f} s"),
        ("… a second", f"{rows / loaded.write_s:,.0f}"),
        ("`VACUUM ANALYZE` afterwards", f"{loaded.tidy_s:,.0f} s"),
    ]
    if sink_per_s is not None:
        figures.append(("requests a second by the gateway's own sink, two rows each", f"{sink_per_s:,.0f}"))
    return _WRITING.format(requests=loaded.requests, days=DAYS) + table(("", "measured"), figures)


def _sizes(sizes: Mapping[str, Size]) -> str:
    rows = [
        (
            f"`{name}`", f"{size.rows:,}", f"{size.table_bytes / _GIB:.2f}", f"{size.index_bytes / _GIB:.2f}",
            f"{size.table_bytes / size.rows:,.0f}", f"{(size.table_bytes + size.index_bytes) / size.rows:,.0f}",
        )
        for name, size in sizes.items()
    ]  # fmt: skip
    return "## Size\n\n" + table(("table", "rows", "GiB", "indexes, GiB", "bytes a row", "with indexes"), rows)


def _answers(answered: Sequence[Answered]) -> str:
    rows = [(each.name, str(each.times), f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}") for each in answered]
    return (
        "## Reading\n\nOne question at a time, as the product asks it, in milliseconds until its rows are Python's. "
        "Where a question is asked fewer than 100 times, p99 is the slowest.\n\n"
        + table(("question", "times", "p50", "p99"), rows)
    )


def _beside(found: Compared) -> str:
    rows = []
    for beside in Beside:
        taken, turns = found.together(beside), found.of(beside)
        each = ", ".join(f"{quantile(turn.taken_ms, 0.99):.2f}" for turn in turns)
        failed = sum(turn.failed + turn.pages_failed for turn in turns)
        pages = sum(turn.pages for turn in turns)
        rows.append(
            (
                beside.value, f"{len(taken):,}", f"{quantile(taken, 0.5):.2f}", f"{quantile(taken, 0.99):.2f}",
                each, f"{pages:,}", str(failed),
            )
        )  # fmt: skip
    verdict = "met" if found.is_met else "MISSED"
    return (
        _DASHBOARDS.format(rate=RATE, seconds=found.seconds, readers=READERS)
        + table(("", "requests", "p50 ms", "p99 ms", "p99 of each turn", "pages", "failed"), rows)
        + f"\np99 with dashboards is {found.ratio:.3f} of that without (wanted: at most 1.05): {verdict}. "
        f"The gateway's first answer came {found.start_s:.1f} s after its start.\n"
    )


def _sums(summed: SummedUp) -> str:
    rows = [
        (f"all {summed.hours:,} hours, from nothing", f"{summed.first_s:,.1f}"),
        (f"a tick with {summed.tick_requests:,} new requests, median", f"{summed.tick_p50_s:.3f}"),
        ("… the slowest of ten", f"{summed.tick_max_s:.3f}"),
        ("that hour counted whole, as before sums were kept by the minute", f"{summed.whole_hour_s:.3f}"),
    ]
    return (
        "## Sums for the dashboard\n\n"
        f"The ticks come at the end of an hour with {summed.hour_requests:,} requests, 20 seconds apart, so "
        f"{summed.tick_requests / 20:.0f} requests a second.\n\n" + table(("", "seconds"), rows)
    )


def _forgetting(forgotten: Forgotten) -> str:
    rows = [
        ("a day's partitions dropped", f"{forgotten.dropped:,}", f"{forgotten.drop_s:.2f}"),
        ("a day deleted row by row", f"{forgotten.deleted:,}", f"{forgotten.delete_s:.2f}"),
    ]
    return (
        "## Forgetting\n\nBoth carry what the requests were charged to `spent_before`, and take the calls along.\n\n"
        + table(("", "requests", "seconds"), rows)
    )
