"""Graders: answers checked here, against a truth or by a rule that the caller gives; no model is asked.

:mod:`grading` is the way in.
"""
