"""The head as layers that overlap and are never joined: skin, hair body, hair sheet."""
