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
HEAD = tuple(sorted((*FACE, *EARS, *HAIRY)))
"""What turns with the head; S in the paper."""
COVERING = (ParsingClass.NECK, ParsingClass.BODY)
"""What hair may hang behind without a part of the head before it."""
PARSING_CLASSES = tuple(kind.name.lower().replace("_", " ") for kind in ParsingClass)
"""Their names, as files and tables give them. Glasses and beards are face."""
MIRRORED_CLASSES = (0, 1, 2, 4, 3, 5, 6, 7, 8)
"""The label that each label has in the mirrored picture."""
