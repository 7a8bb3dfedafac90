"""How good the parsing is."""
