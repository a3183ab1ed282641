"""Tests of the admin API, against a real gateway process."""
