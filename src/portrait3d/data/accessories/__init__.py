"""What the networks of glasses and earrings learn from."""
