"""One training loop and a configuration and a loss for every stage."""
