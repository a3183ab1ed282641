"""Evidence on a canary: how the asks that two versions of a profile answer differently fare under each of them."""
