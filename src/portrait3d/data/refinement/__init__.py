"""What the refinement network learns from."""
