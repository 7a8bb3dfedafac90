"""How good the face network is."""
