"""Tests of the store: every one that touches a database runs on SQLite and on a real PostgreSQL."""
