"""The anthropic-messages codec."""
