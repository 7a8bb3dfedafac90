"""The two errors that a photo can cause."""


class InvalidImageError(ValueError):
    """The input is not a picture that can be read; the message names it and says why."""


class NoFaceError(ValueError):
    """No face was found in the picture; the message names it and gives the best candidate's score."""
