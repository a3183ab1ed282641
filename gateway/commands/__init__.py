"""The commands of ``ponder``, one module each; a module holds a click command of its own name."""
