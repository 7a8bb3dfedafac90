"""What files of a head hold beside its shape and its colours."""

from dataclasses import dataclass

from portrait3d import arguments

TEXTURE_FORMATS = ("png", "webp")
"""How a GLB's textures may be stored."""


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """What is asked of a head's files. OBJ and PLY know `scale` alone.

    Raises `TypeError` or `ValueError` for what can't be.
    """

    lit: bool = False
    """A matte surface that takes the light of the scene, instead of the photo's light in the colours."""
    visemes: bool = False
    """Targets for the 15 visemes of Oculus and `models.visemes.SUMS` after ARKit's."""
    bones: bool = False
    """A skeleton beside the targets, see `skeleton.skinned`."""
    scale: float = 1.0
    """By how much the head is larger, bones too."""
    dense_targets: bool = False
    """Write every vertex in every target, for programs that don't read sparse accessors."""
    texture_format: str = "png"
    """One of `TEXTURE_FORMATS`. WebP is lossy and a fraction of the size; not every program reads it."""
    author: str = "unnamed"
    """Who a VRM names as its author."""

    def __post_init__(self) -> None:
        for name in ("lit", "visemes", "bones", "dense_targets"):
            arguments.truth_value(getattr(self, name), name)
        arguments.number(self.scale, "scale", *arguments.SCALES)
        arguments.text(self.author, "author")
        if arguments.text(self.texture_format, "texture_format") not in TEXTURE_FORMATS:
            known = " or ".join(TEXTURE_FORMATS)
            raise ValueError(f"texture_format must be {known}, got {self.texture_format!r}.")
