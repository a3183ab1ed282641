"""What every purse promises, whatever keeps it. Test modules of purses adopt the class with a fixture ``purse``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain.ledger import Hold
from gateway.domain.limits import Account, Budget, Limits, Period
from gateway.domain.money import ZERO, Usd, usd
from gateway.errors import BudgetExhausted, RateLimited, TooLarge, Unavailable
from gateway.ports import Claim, Purse

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
"""A Sunday: tomorrow begins a week."""
DAY_S = 86400.0
LEASE_S = 60.0


def account(name: str = "key:k1", /, *budgets: Budget, **rates: int) -> Account:
    """An account with these limits."""
    return Account(name, Limits(budgets=budgets, **rates))


def daily(amount: str, soft_share: str | None = None) -> Budget:
    """A budget per day."""
    return Budget(usd(amount), Period.DAY, None if soft_share is None else Decimal(soft_share))


def claim(
    request_id: str,
    *accounts: Account,
    ceiling: str = "0",
    tokens: int = 0,
    now: float = NOON,
    lease_s: float = LEASE_S,
) -> Claim:
    """What a request asks for."""
    return Claim(request_id, accounts, usd(ceiling), tokens, now, lease_s)


async def balance(
    purse: Purse, name: str = "key:k1", period: Period = Period.DAY, now: float = NOON
) -> tuple[Usd, Usd]:
    """Spent and held."""
    return await purse.spent(name, period, now=now)


class PurseContract:
    async def test_what_fits_is_held_and_settled_to_the_nano_dollar(self, purse: Purse) -> None:
        """A hold sets its ceiling aside, and settling leaves exactly the true amount as spent."""
        key = account("key:k1", daily("1"))
        hold = await purse.hold(claim("r1", key, ceiling="0.4", tokens=7))
        assert hold == Hold("r1", ("key:k1",), usd("0.4"), 7, NOON, NOON + LEASE_S)
        assert await balance(purse) == (ZERO, usd("0.4"))
        assert await purse.settle(hold, usd("0.123456789"), tokens=5, now=NOON)
        assert await balance(purse) == (usd("0.123456789"), ZERO)

    async def test_a_budget_is_used_up_to_its_last_nano_dollar(self, purse: Purse) -> None:
        """The ceiling that fills a budget exactly fits, and one nano-dollar more does not."""
        key = account("key:k1", daily("1"))
        await purse.hold(claim("r1", key, ceiling="0.4"))
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r2", key, ceiling="0.600000001"))
        await purse.hold(claim("r3", key, ceiling="0.6"))
        assert await balance(purse) == (ZERO, usd("1"))

    async def test_large_budgets_are_exact_as_well(self, purse: Purse) -> None:
        """A nano-dollar counts in a budget of a billion dollars, beyond what a double can tell apart."""
        key = account("key:k1", Budget(usd("1000000000"), Period.TOTAL))
        await purse.correct("key:k1", {Period.TOTAL: usd("999999998.999999999")}, now=NOON)
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r1", key, ceiling="1.000000002"))
        hold = await purse.hold(claim("r2", key, ceiling="1.000000001"))
        assert await purse.settle(hold, usd("0.000000001"), tokens=0, now=NOON)
        assert await balance(purse, period=Period.TOTAL) == (usd("999999999.000000000"), ZERO)

    async def test_the_refusal_names_the_limit_what_is_left_and_when_it_renews(self, purse: Purse) -> None:
        """Whoever is refused learns whose budget it is, what was asked, what is left and until when."""
        key = account("key:k1", daily("1"))
        hold = await purse.hold(claim("r1", key, ceiling="0.5"))
        await purse.settle(hold, usd("0.25"), tokens=0, now=NOON)
        await purse.hold(claim("r2", key, ceiling="0.25"))
        with pytest.raises(BudgetExhausted) as refused:
            await purse.hold(claim("r3", key, ceiling="0.75"))
        assert refused.value.message == (
            "key:k1 has $0.5 left of its budget of $1 per day ($0.25 spent, $0.25 held by requests under way); "
            "this request may cost up to $0.75; the budget renews at 2026-11-23 00:00 UTC; "
            "a lower output limit or a cheaper model may fit before"
        )
        assert refused.value.retry_after_s == DAY_S / 2

    async def test_all_accounts_give_or_none_does(self, purse: Purse) -> None:
        """A hold that the team refuses takes nothing from the key: no money, no rate, no place."""
        key = account("key:k1", daily("1"), requests_per_minute=1, tokens_per_minute=100, concurrency=1)
        poor, rich = account("team:t1", daily("0.1")), account("team:t2", daily("1"))
        with pytest.raises(BudgetExhausted, match=r"^team:t1 has"):
            await purse.hold(claim("r1", key, poor, ceiling="0.5", tokens=100))
        hold = await purse.hold(claim("r2", key, rich, ceiling="0.5", tokens=100))
        assert hold.accounts == ("key:k1", "team:t2")
        assert await balance(purse) == (ZERO, usd("0.5"))
        assert await balance(purse, "team:t1") == (ZERO, ZERO)
        assert await balance(purse, "team:t2") == (ZERO, usd("0.5"))

    @pytest.mark.parametrize("period", list(Period))
    async def test_a_budget_renews_with_its_period(self, purse: Purse, period: Period) -> None:
        """Money spent counts until its period ends, and in a total budget for ever."""
        key = account("key:k1", Budget(usd("1"), period))
        await purse.settle(await purse.hold(claim("r1", key, ceiling="1")), usd("1"), tokens=0, now=NOON)
        days = {Period.DAY: 0.5, Period.WEEK: 0.5, Period.MONTH: 8.5, Period.TOTAL: 4000}[period]
        end = NOON + days * DAY_S
        for number, now in enumerate((end - 0.001, end)):
            claimed = claim(f"next{number}", key, ceiling="1", now=now)
            if now == end and period is not Period.TOTAL:
                await purse.hold(claimed)
                assert await balance(purse, period=period, now=now) == (ZERO, usd("1"))
            else:
                with pytest.raises(BudgetExhausted):
                    await purse.hold(claimed)

    async def test_a_hold_settles_into_the_period_that_it_was_made_in(self, purse: Purse) -> None:
        """A request that ends after midnight is charged to the day before."""
        key = account("key:k1", daily("1"), Budget(usd("5"), Period.TOTAL))
        hold = await purse.hold(claim("r1", key, ceiling="1", lease_s=DAY_S))
        later = NOON + DAY_S / 2 + 60
        await purse.hold(claim("r2", key, ceiling="0.7", now=later))
        assert await purse.settle(hold, usd("0.9"), tokens=0, now=later)
        assert await balance(purse, now=later) == (ZERO, usd("0.7"))
        assert await balance(purse, period=Period.TOTAL, now=later) == (usd("0.9"), usd("0.7"))

    async def test_requests_come_at_their_rate(self, purse: Purse) -> None:
        """A minute's requests may come at once, the next exactly when the refusal says, not before."""
        key = account(requests_per_minute=7)
        for number in range(7):
            await purse.hold(claim(f"r{number}", key))
        with pytest.raises(RateLimited, match=r"^key:k1 may make 7 requests per minute") as refused:
            await purse.hold(claim("r7", key))
        wait_s = refused.value.retry_after_s
        assert wait_s == 8.572  # a seventh of a minute, up to the next millisecond
        with pytest.raises(RateLimited):
            await purse.hold(claim("r7", key, now=NOON + wait_s - 0.001))
        await purse.hold(claim("r7", key, now=NOON + wait_s))

    async def test_tokens_come_at_their_rate(self, purse: Purse) -> None:
        """A minute's tokens may come at once, the next exactly when the refusal says, not before."""
        key = account(tokens_per_minute=1000)
        await purse.hold(claim("r1", key, tokens=990))
        with pytest.raises(RateLimited, match="may use 1000 tokens per minute and has 10 left") as refused:
            await purse.hold(claim("r2", key, tokens=11))
        assert refused.value.retry_after_s == 0.06
        await purse.hold(claim("r3", key, tokens=10))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r4", key, tokens=11, now=NOON + 0.659))
        await purse.hold(claim("r5", key, tokens=11, now=NOON + 0.66))

    async def test_the_longest_wait_is_told(self, purse: Purse) -> None:
        """Where several rates are used up, the wait is the one after which all of them let go."""
        key = account(requests_per_minute=2, tokens_per_minute=600)
        team = account("team:t1", requests_per_minute=1)
        await purse.hold(claim("r1", key, tokens=600))
        await purse.hold(claim("r2", team))
        with pytest.raises(RateLimited) as refused:
            await purse.hold(claim("r3", key, team, tokens=300))
        assert refused.value.retry_after_s == 60.0

    async def test_money_is_refused_before_rate(self, purse: Purse) -> None:
        """Where neither money nor rate is left, the caller hears of the money: waiting would be in vain."""
        key = account("key:k1", daily("1"), requests_per_minute=1)
        await purse.hold(claim("r1", key, ceiling="1"))
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r2", key, ceiling="1"))

    async def test_more_than_a_minutes_tokens_never_fit(self, purse: Purse) -> None:
        """A request that exceeds the rate by itself is told so, since waiting would not help."""
        key = account(tokens_per_minute=1000)
        await purse.hold(claim("r1", key, tokens=10))
        with pytest.raises(TooLarge, match="may use 1000 tokens per minute and this request alone may use 1001"):
            await purse.hold(claim("r2", key, tokens=1001))

    @pytest.mark.parametrize(("true_tokens", "left"), [(100, 900), (1000, 0), (1300, -300)])
    async def test_settling_corrects_the_token_rate(self, purse: Purse, true_tokens: int, left: int) -> None:
        """Tokens claimed and not used are free again; those used beyond the claim are owed."""
        key = account(tokens_per_minute=1000)
        hold = await purse.hold(claim("r1", key, tokens=1000))
        await purse.settle(hold, ZERO, tokens=true_tokens, now=NOON)
        if left > 0:
            await purse.hold(claim("r2", key, tokens=left))
        with pytest.raises(RateLimited) as refused:
            await purse.hold(claim("r3", key, tokens=1))
        assert refused.value.retry_after_s == 0.06 * (1 + max(0, -left))

    async def test_the_rate_drains_before_it_is_corrected(self, purse: Purse) -> None:
        """Tokens given back after the bucket had drained do not add up beyond a minute's worth."""
        key = account(tokens_per_minute=1000)
        hold = await purse.hold(claim("r1", key, tokens=1000))
        await purse.settle(hold, ZERO, tokens=0, now=NOON + 50)
        await purse.hold(claim("r2", key, tokens=1000, now=NOON + 50))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r3", key, tokens=1, now=NOON + 50))

    async def test_tokens_beyond_the_claim_are_owed_from_when_they_are_known(self, purse: Purse) -> None:
        """The time before a settlement does not pay off what only the settlement adds."""
        key = account(tokens_per_minute=1000)
        hold = await purse.hold(claim("r1", key, tokens=0))
        await purse.settle(hold, ZERO, tokens=1000, now=NOON + 50)
        with pytest.raises(RateLimited) as refused:
            await purse.hold(claim("r2", key, tokens=1000, now=NOON + 50))
        assert refused.value.retry_after_s == 60.0

    async def test_places_are_taken_and_freed(self, purse: Purse) -> None:
        """As many requests as allowed run at once; one more is let in when one ends, by whatever end."""
        key = account(concurrency=2)
        first, second = [await purse.hold(claim(name, key)) for name in ("r1", "r2")]
        with pytest.raises(RateLimited, match=r"^key:k1 may have 2 requests under way at once") as refused:
            await purse.hold(claim("r3", key))
        assert refused.value.retry_after_s == 1.0
        await purse.settle(first, ZERO, tokens=0, now=NOON)
        third = await purse.hold(claim("r3", key))
        await purse.release(second, now=NOON)
        await purse.hold(claim("r4", key))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r5", key))
        assert await purse.release(third, now=NOON)

    async def test_releasing_gives_money_and_tokens_back_but_counts_the_request(self, purse: Purse) -> None:
        """A request that spent nothing leaves its budgets and tokens as they were; it was still made."""
        key = account("key:k1", daily("1"), tokens_per_minute=100, requests_per_minute=2)
        hold = await purse.hold(claim("r1", key, ceiling="1", tokens=100))
        assert await purse.release(hold, now=NOON)
        assert await balance(purse) == (ZERO, ZERO)
        await purse.hold(claim("r2", key, ceiling="1", tokens=100))
        with pytest.raises(RateLimited, match="2 requests per minute"):
            await purse.hold(claim("r3", key))

    async def test_a_hold_ends_once(self, purse: Purse) -> None:
        """Whatever comes after the first end, another settlement or a release, changes nothing."""
        key = account("key:k1", daily("1"), tokens_per_minute=100, concurrency=1)
        hold = await purse.hold(claim("r1", key, ceiling="1", tokens=100))
        assert await purse.settle(hold, usd("0.3"), tokens=50, now=NOON)
        assert not await purse.settle(hold, usd("0.9"), tokens=90, now=NOON)
        assert not await purse.release(hold, now=NOON)
        assert await balance(purse) == (usd("0.3"), ZERO)
        await purse.hold(claim("r2", key, tokens=50))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r3", key))

    async def test_holding_again_returns_the_first_hold(self, purse: Purse) -> None:
        """The same request holds once, whatever it asks for the second time."""
        key = account("key:k1", daily("1"))
        first = await purse.hold(claim("r1", key, ceiling="0.4"))
        assert await purse.hold(claim("r1", key, ceiling="0.4", now=NOON + 1)) == first
        assert await balance(purse) == (ZERO, usd("0.4"))

    async def test_the_true_amount_may_exceed_the_ceiling(self, purse: Purse) -> None:
        """What was truly spent is charged in full, and leaves that much less for others."""
        key = account("key:k1", daily("1"))
        hold = await purse.hold(claim("r1", key, ceiling="0.1"))
        await purse.settle(hold, usd("1.5"), tokens=0, now=NOON)
        assert await balance(purse) == (usd("1.5"), ZERO)
        with pytest.raises(BudgetExhausted, match=r"has \$0 left"):
            await purse.hold(claim("r2", key, ceiling="0.000000001"))

    async def test_a_hold_is_extended_where_all_budgets_allow(self, purse: Purse) -> None:
        """More money is taken from every budget or none, once however often it is asked for."""
        key, team = account("key:k1", daily("1")), account("team:t1", daily("0.7"))
        hold = await purse.hold(claim("r1", key, team, ceiling="0.5"))
        more = await purse.extend(hold, usd("0.2"), now=NOON)
        assert more.ceiling == usd("0.7")
        assert await purse.extend(hold, usd("0.2"), now=NOON) == more
        with pytest.raises(BudgetExhausted, match=r"^team:t1 has \$0 left of its budget of \$0.7 per day"):
            await purse.extend(more, usd("0.000000001"), now=NOON)
        assert await balance(purse) == (ZERO, usd("0.7"))
        await purse.settle(more, usd("0.6"), tokens=0, now=NOON)
        assert await balance(purse, "team:t1") == (usd("0.6"), ZERO)
        with pytest.raises(Unavailable, match="hold of request r1 has ended"):
            await purse.extend(more, usd("0.1"), now=NOON)

    async def test_a_lapsed_hold_counts_as_spent_and_frees_its_place(self, purse: Purse) -> None:
        """When a lease runs out its money is taken as spent in full, and others may run."""
        key = account("key:k1", daily("1"), concurrency=1)
        hold = await purse.hold(claim("r1", key, ceiling="0.6"))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r2", key, now=NOON + LEASE_S - 0.001))
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r2", key, ceiling="0.5", now=NOON + LEASE_S))
        await purse.hold(claim("r3", key, ceiling="0.4", now=NOON + LEASE_S))
        assert await balance(purse, now=NOON + LEASE_S) == (usd("0.6"), usd("0.4"))
        with pytest.raises(Unavailable):
            await purse.extend(hold, usd("0.1"), now=NOON + LEASE_S)

    async def test_a_lease_ends_at_its_moment(self, purse: Purse) -> None:
        """From the moment that its lease ends, though nobody looked since, a hold is neither extended nor renewed."""
        key = account("key:k1", daily("1"))
        extended, renewed = [await purse.hold(claim(name, key, ceiling="0.1")) for name in ("r1", "r2")]
        with pytest.raises(Unavailable, match="hold of request r1 has ended"):
            await purse.extend(extended, usd("0.1"), now=NOON + LEASE_S)
        await purse.renew([renewed], now=NOON + LEASE_S, lease_s=LEASE_S)
        assert await balance(purse, now=NOON + LEASE_S) == (usd("0.2"), ZERO)

    async def test_a_late_settlement_corrects_a_lapsed_hold(self, purse: Purse) -> None:
        """The truth found later replaces the ceiling of a lapsed hold, once, and frees no second place."""
        key = account("key:k1", daily("1"), concurrency=1)
        hold = await purse.hold(claim("r1", key, ceiling="0.6"))
        later = NOON + LEASE_S
        await purse.hold(claim("r2", key, ceiling="0.1", now=later))
        assert await purse.settle(hold, usd("0.25"), tokens=0, now=later)
        assert not await purse.settle(hold, usd("0.25"), tokens=0, now=later)
        assert await balance(purse, now=later) == (usd("0.25"), usd("0.1"))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r3", key, now=later))

    async def test_renewed_holds_do_not_lapse(self, purse: Purse) -> None:
        """A renewed lease keeps money held and the place taken; one that has lapsed is not brought back."""
        key = account("key:k1", daily("1"), concurrency=2)
        kept = await purse.hold(claim("r1", key, ceiling="0.2"))
        lost = await purse.hold(claim("r2", key, ceiling="0.3"))
        await purse.renew([kept], now=NOON + 59, lease_s=LEASE_S)
        later = NOON + 61
        await purse.renew([lost], now=later, lease_s=LEASE_S)
        assert await balance(purse, now=later) == (usd("0.3"), usd("0.2"))
        await purse.hold(claim("r3", key, now=later))
        with pytest.raises(RateLimited):
            await purse.hold(claim("r4", key, now=later))
        assert await purse.settle(kept, usd("0.1"), tokens=0, now=later)

    async def test_many_leases_run_out_together(self, purse: Purse) -> None:
        """However many holds a dead process leaves, all of them lapse."""
        key = account("key:k1", daily("1"), concurrency=100)
        for number in range(100):
            await purse.hold(claim(f"dead{number}", key, ceiling="0.01"))
        later = NOON + LEASE_S
        assert await balance(purse, now=later) == (usd("1"), ZERO)
        for number in range(100):
            await purse.hold(claim(f"new{number}", key, now=later))

    async def test_a_soft_limit_warns(self, purse: Purse) -> None:
        """The hold that reaches the soft share carries a warning; the one just below does not."""
        key = account("key:k1", daily("1", "0.8"))
        below = await purse.hold(claim("r1", key, ceiling="0.799999999"))
        reaching = await purse.hold(claim("r2", key, ceiling="0.000000001"))
        assert below.warnings == ()
        (warning,) = reaching.warnings
        assert warning == (
            "key:k1 has used $0.8 of its budget of $1 per day, past the soft limit of 80%; "
            "the budget renews at 2026-11-23 00:00 UTC"
        )

    async def test_of_many_first_requests_one_gets_the_money(self, purse: Purse) -> None:
        """Sixty-four simultaneous first holds against a budget for one: exactly one succeeds."""
        key, team = account("key:k1", daily("1")), account("team:t1", Budget(usd("1"), Period.TOTAL))
        claims = [claim(f"r{number}", key, team, ceiling="1") for number in range(64)]
        outcomes = await asyncio.gather(*map(purse.hold, claims), return_exceptions=True)
        assert sum(isinstance(outcome, Hold) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, BudgetExhausted) for outcome in outcomes) == 63
        assert await balance(purse, "team:t1", Period.TOTAL) == (ZERO, usd("1"))

    async def test_accounts_without_limits_hold_and_end_once(self, purse: Purse) -> None:
        """Where nothing is limited everything is let in, and still ends once."""
        hold = await purse.hold(claim("r1", account(), account("team:t1"), ceiling="1000", tokens=10**9))
        assert await purse.hold(claim("r1", account())) == hold
        assert (await purse.extend(hold, usd("1"), now=NOON)).ceiling == usd("1001")
        assert await purse.settle(hold, usd("900"), tokens=1, now=NOON)
        assert not await purse.settle(hold, usd("900"), tokens=1, now=NOON)
        assert await balance(purse) == (ZERO, ZERO)

    async def test_changed_limits_apply_at_once_and_keep_what_is_spent(self, purse: Purse) -> None:
        """A budget that is raised, lowered or dropped applies to the next hold, on the same balance."""
        hold = await purse.hold(claim("r1", account("key:k1", daily("1")), ceiling="1"))
        await purse.hold(claim("r2", account("key:k1", daily("2")), ceiling="1"))
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r3", account("key:k1", daily("1.5")), ceiling="0.1"))
        await purse.hold(claim("r4", account("key:k1", concurrency=9), ceiling="100"))
        assert await purse.settle(hold, usd("0.5"), tokens=0, now=NOON)
        assert await balance(purse) == (usd("0.5"), usd("1"))

    async def test_restored_money_counts_as_spent(self, purse: Purse) -> None:
        """Sums from the database count, correcting one account replaces its sum, and what is held stays held."""
        key = account("key:k1", daily("1"), Budget(usd("10"), Period.TOTAL))
        await purse.correct("key:k1", {Period.DAY: usd("0.9"), Period.TOTAL: usd("3")}, now=NOON)
        with pytest.raises(BudgetExhausted):
            await purse.hold(claim("r1", key, ceiling="0.2"))
        await purse.hold(claim("r2", key, ceiling="0.1"))
        await purse.correct("key:k1", {Period.DAY: usd("0.5")}, now=NOON)
        assert await balance(purse) == (usd("0.5"), usd("0.1"))
        assert await balance(purse, period=Period.TOTAL) == (usd("3"), usd("0.1"))

    async def test_balances_are_restored_once(self, purse: Purse) -> None:
        """Whoever restores second, with older sums, changes nothing."""
        assert not await purse.needs_restore()
        assert not await purse.restore({"key:k1": {Period.DAY: usd("0.9")}}, now=NOON)
        assert await balance(purse) == (ZERO, ZERO)
