"""The paper's equations and the other training losses, as functions."""
