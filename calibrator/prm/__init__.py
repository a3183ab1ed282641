"""Process reward models: step labels by rollouts, training on them, and the report of how good one is."""
