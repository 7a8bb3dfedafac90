"""What the parsing network learns from."""
