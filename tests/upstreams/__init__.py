"""Real HTTP servers on loopback that stand for providers, and one that misbehaves on purpose."""
