"""The web page: drop a photo, turn the head, change the expression, take the files home."""
