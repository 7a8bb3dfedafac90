"""The errors that a photo, a video, weights or a saved portrait can cause."""


class InvalidImageError(ValueError):
    """The input is not a picture that can be read; the message names it and says why."""


class NoFaceError(ValueError):
    """No face was found in the picture; the message names it and gives the best candidate's score."""


class InvalidVideoError(ValueError):
    """A file can't be read as a video."""


class DifferentPeopleError(ValueError):
    """Photos that should show one person show different ones; the message names them."""


class WeightsError(ValueError):
    """Stored weights can't be used; the message names the file and the entry or tensor, and says why."""


class PortraitFileError(ValueError):
    """A saved portrait can't be read; the message names the file and says why."""


class PortraitWarning(UserWarning):
    """A result that should be looked at before it is used."""


class PoorFitWarning(PortraitWarning):
    """A face was fitted badly, by the signs that `Portrait.quality` sums up."""


class DifferentPeopleWarning(PortraitWarning):
    """Photos that should show one person may show different ones."""


class UnseenPoseWarning(PortraitWarning):
    """A head was turned so far that it shows nothing of what the photo shows."""


class MissingPackageError(ImportError):
    """What was asked for needs an optional package that is not installed; the message names it."""
