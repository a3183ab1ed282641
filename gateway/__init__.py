"""Ponder's gateway: admits, decides, drives and settles one request after another."""
