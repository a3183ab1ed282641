"""What kind of work a prompt is, and who is likely to succeed at it: computed from the prompt alone."""
