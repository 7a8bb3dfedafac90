"""What the depth network learns from."""
