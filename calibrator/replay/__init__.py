"""What another policy would have cost, taken and got right on logged traffic: it ranks and vetoes, and no more."""
