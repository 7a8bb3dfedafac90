"""How good turned photos are."""
