"""Policies: from facts and snapshots to a plan. Pure: no clock, no environment, no await."""
