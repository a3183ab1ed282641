"""Checks of deploy/ without an engine, a cluster or the internet: `make test-deploy`."""
