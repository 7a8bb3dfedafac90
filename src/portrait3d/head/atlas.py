"""The head's texture: the head model's own layout above and below right, the hair's chart below left."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from portrait3d.compilation import compiled
from portrait3d.geometry.pictures import colour_bytes
from portrait3d.head.layout import SIDES, Texels


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Where things lie in a texture of `SIDES` x `SIDES` sides of the hair's chart."""

    size: int
    """Side of the hair's chart, pixels."""

    def of_hair(self, places: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places (x, y), 0 to 1, in the chart of the hair's body."""
        return (places + np.array([0.0, 1.0])) / SIDES

    def of_model(self, points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        """Texture coordinates of places of the head model's layout."""
        return points / SIDES

    def place_hair(self, texture: UInt8[np.ndarray, "T T 3"], hair: UInt8[np.ndarray, "S S 3"]) -> None:
        """Put the hair's chart into the texture."""
        texture[self.size :, : self.size] = hair


def ground(texels: Texels, colours: Float[np.ndarray, "N 3"]) -> UInt8[np.ndarray, "T T 3"]:
    """The texels' colours as a picture of twice the side: islands are dilated over their margin, and the mean
    fills what lies between them."""
    own, side = colour_bytes(colours), texels.side
    # Mipmaps and the enlargement below read across the borders of islands: what they find must be of like
    # colour.
    mean = np.array([np.round(channel.mean()) for channel in own.T], np.uint8)
    # Whole rows at a time: numpy is slow along axes of three.
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = np.tile(mean, (side, 1))
    flat = picture.reshape(-1, 3)
    flat[texels.place] = own
    flat[texels.margin] = own[texels.beside]
    return doubled(picture)


def doubled(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture enlarged bilinearly to twice its size: Pillow's `resize`, in a sixth of its time."""
    height, width = picture.shape[:2]
    wide = np.empty((height, 2 * width, 3), np.uint8)
    large = np.empty((2 * height, 2 * width, 3), np.uint8)
    _double(picture, wide)
    # Rows are doubled like columns, each as a whole.
    _double(wide.reshape(1, height, -1), large.reshape(1, 2 * height, -1))
    return large


@compiled
def _double(lines, doubled):
    """Twice as many pixels along the second axis, rounded to bytes; beyond the ends the last one goes on."""
    count, size, channels = lines.shape
    for row in range(count):
        for k in range(size):
            before, here, behind = lines[row, max(k - 1, 0)], lines[row, k], lines[row, min(k + 1, size - 1)]
            first, second = doubled[row, 2 * k], doubled[row, 2 * k + 1]
            # Centres lie a quarter of a pixel beside the old ones: weights 3/4 and 1/4.
            for c in range(channels):
                own = np.int32(here[c]) * np.int32(3) + np.int32(2)
                first[c] = np.uint8((own + np.int32(before[c])) >> np.int32(2))
                second[c] = np.uint8((own + np.int32(behind[c])) >> np.int32(2))


def blend(
    texture: UInt8[np.ndarray, "T T 3"],
    texels: Texels,
    colours: Float[np.ndarray, "N 3"],
    share: Float[np.ndarray, " N"],
    light: Float[np.ndarray, " N"],
) -> None:
    """Blend colours in [0, 1] into the texture, each texel by its share, and divide by light, in place."""
    _blend(texture.reshape(-1, 3), texels.place, colours, share, light)


@compiled
def _blend(texture, place, colours, share, light):
    for k in range(len(place)):
        texel = texture[place[k]]
        for c in range(3):
            own = np.float32(texel[c])
            value = (own + (colours[k, c] * np.float32(255) - own) * share[k]) / light[k]
            texel[c] = np.uint8(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))
