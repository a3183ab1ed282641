"""From a wish to think to the parameters that each provider takes; nothing that differs goes unsaid."""

from gateway.adapters.thinking.actuate import actuate
from gateway.adapters.thinking.obstacles import obstacle

__all__ = ["actuate", "obstacle"]
