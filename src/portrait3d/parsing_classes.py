"""The nine classes that every pixel of a photo is sorted into, and the groups in which they are used."""

from enum import IntEnum


class ParsingClass(IntEnum):
    """What a pixel shows; left and right are those of the picture."""

    BACKGROUND = 0
    FACE = 1
    HAIR = 2
    LEFT_EAR = 3
    RIGHT_EAR = 4
    INNER_MOUTH = 5
    NECK = 6
    BODY = 7
    HEADWEAR = 8


HAIRY = (ParsingClass.HAIR, ParsingClass.HEADWEAR)
"""What lies on the scalp and is lifted as a layer of its own."""
EARS = (ParsingClass.LEFT_EAR, ParsingClass.RIGHT_EAR)
FACE = (ParsingClass.FACE, ParsingClass.INNER_MOUTH)
SKIN = (*FACE, *EARS, ParsingClass.NECK)
HEAD = (*FACE, *EARS, *HAIRY)
"""What turns with the head; S in the paper."""
