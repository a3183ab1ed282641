"""What certified choices cost and lose on recorded outcomes: `make bench-calibration`."""
