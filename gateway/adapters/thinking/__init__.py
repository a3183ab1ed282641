"""From a wish to think to the parameters that each provider takes; nothing that differs goes unsaid."""

from gateway.adapters.thinking.actuation import actuate

__all__ = ["actuate"]
