"""How near whole heads are to true ones."""
