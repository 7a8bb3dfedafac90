"""What the face network learns from."""
