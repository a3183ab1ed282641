"""The calibrator's ticks: one a module, each an ``async def tick(where, settings)`` that ends within seconds.

A tick keeps no state. It finds in the database what is due, claims it by a lease or a conditional update, works
on it for at most some ten seconds, and ends; so it may run twice at once, or be killed, without harm.
"""
