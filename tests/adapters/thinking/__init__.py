"""Tests of the thinking actuator."""
