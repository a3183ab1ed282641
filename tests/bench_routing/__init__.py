"""A whole calibration on the test bed: measured by the calibrator, published, and then tried on fresh traffic.

Started by ``make bench-routing``; the page is docs/results/routing.md.
"""
