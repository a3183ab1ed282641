"""The report of a calibration: one page of HTML with its plots inside, which opens anywhere and asks for nothing."""
