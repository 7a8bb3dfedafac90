"""Moving pictures: a photo that turns, and a photo that a video drives."""
