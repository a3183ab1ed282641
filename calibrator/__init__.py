"""The calibrator measures accuracy against cost for each way of answering, and re-tunes the budgets.

It stands above the gateway, which never imports it.
"""
