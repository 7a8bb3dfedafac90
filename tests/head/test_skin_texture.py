"""Colours of the skin: the photo where it shows it, what is likely elsewhere."""
