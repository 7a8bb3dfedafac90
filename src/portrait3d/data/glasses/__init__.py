"""What the glasses network learns from."""
