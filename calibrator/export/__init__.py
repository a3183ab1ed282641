"""Verified traces as data to train on: prompts with a checkable answer, thought-out answers, and labelled steps."""
