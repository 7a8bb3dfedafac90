"""Whole people in 3D with exact truth: artist-made heads, hairstyles, outfits."""
