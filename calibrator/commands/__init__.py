"""``ponder calibrate``: what a calibration measures, chooses and publishes, from the command line."""
