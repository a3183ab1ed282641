"""Values of the field: money, conversations, arms, plans. No clock, no environment, no await."""
