"""Requests that are answered later: taken from the database under leases, and served as live ones are."""
