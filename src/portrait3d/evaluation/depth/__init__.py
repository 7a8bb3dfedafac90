"""How good depth is."""
