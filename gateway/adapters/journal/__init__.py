"""The journal: an append-only file of each process that makes the ledger survive crashes and outages.

A request is *opened* before its first upstream call and *settled* before its answer's last byte
leaves; both are appended to a segment by one write. From then on a crash of the process loses
nothing, and a power cut what was written in the last 50 ms. In the background a mover brings settled
records to the database, each exactly once, and recovery does so for what processes that are gone left.
"""
