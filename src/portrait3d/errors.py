"""The errors that a photo or a video can cause."""


class InvalidImageError(ValueError):
    """The input is not a picture that can be read; the message names it and says why."""


class NoFaceError(ValueError):
    """No face was found in the picture; the message names it and gives the best candidate's score."""


class InvalidVideoError(ValueError):
    """A file can't be read as a video."""


class PortraitWarning(UserWarning):
    """A result that should be looked at before it is used."""


class PoorFitWarning(PortraitWarning):
    """A face was fitted badly, by the signs that `Portrait.quality` sums up."""


class UnseenPoseWarning(PortraitWarning):
    """A head was turned so far that it shows nothing of what the photo shows."""
