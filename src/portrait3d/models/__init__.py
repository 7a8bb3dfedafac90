"""The head model and the networks."""
