"""Supervision of the processes that make up a gateway: started in order, kept alive, stopped in reverse order.

Owns processes, signals and the one log they share. Knows nothing of what the processes do.
"""
