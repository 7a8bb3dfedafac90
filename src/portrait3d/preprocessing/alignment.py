"""Crops of a photo as virtual cameras: where they lie, how they are cut out, how results come back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from portrait3d.preprocessing.detection import Detection
from portrait3d.preprocessing.sampling import read_means

FACE_SIZE = 224
"""Pixels of the face crop, as in the paper."""
HEAD_SIZE = 256
"""Pixels of the head crop, as in the paper."""
HEAD_ZOOM = 2.0
"""Side of the head crop over that of the face crop: the longest hair of most portraits stays inside."""
WIDE_ZOOM = 1.6 * HEAD_ZOOM
"""Side of the wide crop over that of the face crop: hair to its end, also where it leaves the head crop."""
FACE_FOCAL = 1015.0
"""Focal length of the face crop's camera in its 224 px, as in the paper: about 12.6 degrees of view."""
FACE_MARGIN = 1.6
"""Side of the face crop over sqrt(width * height) of the upright box of the 68 landmarks."""

# Where CenterFace's box and key points lie with respect to the 68 landmarks: least squares over 783 photos
# (every third portrait and clip frame of the training split) by tools/calibrate_detector.py.
DETECTION_ROLL = math.radians(0.47)
"""CenterFace sees faces turned anticlockwise by this, mirrored pictures included."""
DETECTION_X = (0.65, -0.56)
"""Centre's x from the box's middle: weights of the middle of eyes and mouth, and of the nose."""
DETECTION_Y = (0.664, 0.108)
"""Centre's y from the box's middle: weights of the middle of eyes and mouth, and of the box's size."""
DETECTION_SIZE = (0.88, 0.347)
"""sqrt(width * height) of the landmarks' box: weights of the key points' spread, and of the box's size."""
DETECTION_TURN = 0.4
"""What the landmarks' box is larger by than `DETECTION_SIZE` says, over the nose's distance from the line
between the middles of eyes and mouth: a face that turns seems smaller to CenterFace than its landmarks' box
is. Set on 31 photos with a yaw beyond 25 degrees and on artist-made heads to 100."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A square cut out of a photo, turned upright: a similarity between photo pixels and crop pixels.

    Pixel coordinates are continuous, (0, 0) is the top left corner of the top left pixel. The crop is also
    a virtual camera: its principal point is the crop's centre, and the crop's angle is an exact rotation of
    the camera about its axis (X_photo = Rz(angle) X_crop), so that all crops of one photo that share centre
    and angle share one camera position and one principal point.
    """

    centre: tuple[float, float]
    """The crop's middle, in pixels of the photo (x, y)."""
    side: float
    """Length of a side, in pixels of the photo."""
    angle: float
    """Roll of the crop in the photo, radians, clockwise > 0 (the roll of the face that it turns upright)."""
    size: int
    """Length of a side, in pixels of the crop."""
    zoom: float = 1.0
    """Side over the side of the face crop with the same camera."""

    def __post_init__(self) -> None:
        x, y = (float(value) for value in self.centre)
        side, angle = float(self.side), float(self.angle)
        if not (self.size >= 1 and side > 0 and all(map(math.isfinite, (x, y, side, angle)))):
            raise ValueError(f"A crop needs size >= 1, side > 0 and finite numbers, got {self!r}.")
        for name, value in (("centre", (x, y)), ("side", side), ("angle", angle)):
            object.__setattr__(self, name, value)

    def photo_from_crop(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Move points from pixels of the crop to pixels of the photo."""
        scale, centre = self.side / self.size, points.new_tensor(self.centre)
        return (points - self.size / 2) @ _rotation(self.angle, points).T * scale + centre

    def crop_from_photo(self, points: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Move points from pixels of the photo to pixels of the crop."""
        scale, centre = self.size / self.side, points.new_tensor(self.centre)
        return (points - centre) @ _rotation(self.angle, points) * scale + self.size / 2

    def crop_from_grid(self, x: Float[Tensor, " W"], y: Float[Tensor, " H"]) -> Float[Tensor, "H W 2"]:
        """`crop_from_photo` of all points (x, y)."""
        x, y = x - self.centre[0], y - self.centre[1]
        places = _turned(x, y, _rotation(self.angle, x))
        return places.mul_(self.size / self.side).add_(self.size / 2)

    def photo_from_grid(self, x: Float[Tensor, " W"], y: Float[Tensor, " H"]) -> Float[Tensor, "H W 2"]:
        """`photo_from_crop` of all points (x, y)."""
        x, y = x - self.size / 2, y - self.size / 2
        places = _turned(x, y, _rotation(self.angle, x).T).mul_(self.side / self.size)
        return places.add_(places.new_tensor(self.centre))

    def positions(self) -> Float[Tensor, "size size 2"]:
        """Where the centres of the crop's pixels lie in the photo."""
        line = torch.arange(self.size, dtype=torch.float32) + 0.5
        return self.photo_from_grid(line, line)

    def extract(self, pixels: UInt8[np.ndarray, "H W *C"]) -> Float[Tensor, "C size size"]:
        """Cut the crop out of a photo or a grey map, values in [0, 1], 0 where it leaves the picture.

        Every pixel is the mean over its footprint: the photo is reduced by an integer factor first and
        then sampled bilinearly, several times a pixel where that is still too coarse.
        """
        # Only what the crop can touch is reduced: a face may be a small part of a large photo.
        left, top, right, bottom = self._bounds(*pixels.shape[:2])
        step = self.side / self.size
        # At least two pixels of the reduced photo are left to each of the crop's: boxes of the photo's own
        # grid are coarse steps for a crop that is turned.
        shrink = max(1, int(step / 2))
        region = np.ascontiguousarray(pixels[top:bottom, left:right])
        source = np.atleast_3d(region if shrink == 1 else np.asarray(Image.fromarray(region).reduce(shrink)))
        # A step of a whole number must not ask for one sample more because of rounding.
        samples = max(1, math.ceil(step / shrink - 1e-6))
        # Three points tell the affine map from the crop to the reduced region.
        corners = self.photo_from_crop(torch.tensor([[0, 0], [1, 0], [0, 1]], dtype=torch.float64)).numpy()
        origin = (corners[0] - (left, top)) / shrink
        source_from_crop = np.stack([*(corners[1:] - corners[0]) / shrink, origin], 1)
        return read_means(source, source_from_crop, self.size, samples)

    def extract_labels(
        self, labels: Integer[np.ndarray, "H W"], outside: int = 0
    ) -> Integer[np.ndarray, "size size"]:
        """Cut the crop out of a label map: the label under each pixel's centre, `outside` off the photo."""
        height, width = labels.shape
        column, row = np.floor(self.positions().numpy()).astype(np.int64).transpose(2, 0, 1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        return np.where(
            inside, labels[row.clip(0, height - 1), column.clip(0, width - 1)], labels.dtype.type(outside)
        )

    def restore(
        self, values: Float[Tensor, "C size size"], height: int, width: int, mode: str = "bilinear"
    ) -> Float[Tensor, "C H W"]:
        """Bring maps of the crop back to a photo of height x width pixels, zero outside the crop.

        `mode` is `bilinear` or `nearest`.
        """
        return self.grid(height, width).restore(values, mode)

    def grid(self, height: int, width: int) -> "CropGrid":
        """Where the pixels of a photo of height x width lie in the crop: for restoring more than once."""
        left, top, right, bottom = self._bounds(height, width)
        x = torch.arange(left, right, dtype=torch.float32) + 0.5
        y = torch.arange(top, bottom, dtype=torch.float32) + 0.5
        # From -1 to 1, as grid_sample (align_corners=False) wants them.
        places = self.crop_from_grid(x, y).mul_(2).div_(self.size).sub_(1)
        x, y = places.abs().unbind(-1)
        return CropGrid(places, (x <= 1) & (y <= 1), slice(top, bottom), slice(left, right), height, width)

    @property
    def roll(self) -> Pose:
        """From the crop's camera frame to the photo's."""
        return Pose.roll(torch.tensor(self.angle))

    def camera(self) -> Camera:
        """The crop's virtual camera; its principal point is the crop's centre."""
        return crop_camera(self.size, self.zoom)

    def photo_camera(self, height: int, width: int) -> Camera:
        """The camera of the whole photo of height x width pixels that has taken this crop.

        Points of the crop's camera reach it by a rotation of `angle` about the optical axis.
        """
        focal = FACE_FOCAL / FACE_SIZE * self.side / self.zoom
        return Camera(torch.tensor(focal), torch.tensor(self.centre), height, width)

    def resized(self, size: int) -> "Crop":
        """The same square of the photo with another number of pixels."""
        return replace(self, size=size)

    def recentred(self, point: Sequence[float]) -> "Crop":
        """The crop moved so that its middle lies at a point of the photo."""
        x, y = point
        return replace(self, centre=(float(x), float(y)))

    def around(self, point: Float[Tensor, "3"], reach: float, size: int) -> "Crop":
        """The square of `reach` mm around a point in this crop's camera (mm), as far away as it."""
        camera = self.camera()
        x, y = self.photo_from_crop(camera.project(point[None]))[0].tolist()
        zoom = self.zoom * reach * float(camera.focal / point[2]) / self.size
        return replace(self, centre=(x, y), side=self.side * zoom / self.zoom, size=size, zoom=zoom)

    def head_crop(self) -> "Crop":
        """The head crop around this face crop: the same centre and angle, twice the side, 256 px."""
        side = self.side / self.zoom * HEAD_ZOOM
        return replace(self, side=side, size=HEAD_SIZE, zoom=HEAD_ZOOM)

    def wide_crop(self, size: int) -> "Crop":
        """The wide crop around this face crop: 1.6 times the head crop's side, of `size` px."""
        side = self.side / self.zoom * WIDE_ZOOM
        return replace(self, side=side, size=size, zoom=WIDE_ZOOM)

    def _bounds(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the photo's pixels that the crop can touch; at least one pixel."""
        # The upright box around a turned square, and room for reading bilinearly from a reduced photo.
        reach = self.side / 2 * (abs(math.cos(self.angle)) + abs(math.sin(self.angle)))
        margin = 2 + 2 * self.side / self.size
        low = [math.floor(value - reach - margin) for value in self.centre]
        high = [math.ceil(value + reach + margin) for value in self.centre]
        left, top = (min(max(value, 0), limit - 1) for value, limit in zip(low, (width, height), strict=True))
        right, bottom = (
            max(min(value, limit), first + 1)
            for value, limit, first in zip(high, (width, height), (left, top), strict=True)
        )
        return left, top, right, bottom


@dataclass(frozen=True, slots=True, eq=False)
class CropGrid:
    """Where the pixels of a part of a photo lie in a crop."""

    places: Float[Tensor, "h w 2"]
    """x and y, -1 to 1 across the crop."""
    within: Bool[Tensor, "h w"]
    """Whether the crop reaches the pixel."""
    rows: slice
    columns: slice
    """The part of the photo; the crop reaches nothing beyond it."""
    height: int
    width: int
    """The whole photo's size."""

    def restore(self, values: Float[Tensor, "C size size"], mode: str = "bilinear") -> Float[Tensor, "C H W"]:
        """Maps of the crop at the photo's pixels, as `Crop.restore` gives them."""
        # Border values up to the very edge: zeros would be mixed into the outermost half pixel.
        grid = self.places[None].to(values)
        sampled = functional.grid_sample(values[None], grid, mode, "border", align_corners=False)[0]
        restored = values.new_zeros(len(values), self.height, self.width)
        torch.mul(sampled, self.within, out=restored[:, self.rows, self.columns])
        return restored


def crop_camera(size: int, zoom: float) -> Camera:
    """The camera of a crop of `size` pixels that is `zoom` times as wide as the face crop."""
    focal = FACE_FOCAL / FACE_SIZE * size / zoom
    return Camera(torch.tensor(focal), torch.full((2,), size / 2), size, size)


def crop_from_landmarks(landmarks: Float[Tensor, "68 2"]) -> Crop:
    """Place the face crop on 68 landmarks (iBUG order, pixels of the photo).

    The angle is the roll of the eyes and mouth; the centre is that of the landmarks' box in the upright
    frame; the side is 1.6 sqrt(width * height) of that box. Training crops are placed by this function, and
    at inference the crop is placed again by it, on the projected landmarks of the first reconstruction:
    the re-alignment on the head's centre of the paper (section 3.1), with the middle of the face for the
    centre of the head, so that training and inference agree.
    """
    # Eyes 36-41 and 42-47, corners of the mouth 48 and 54.
    points = landmarks.detach().double().cpu()
    left, right, mouth = points[36:42].mean(0), points[42:48].mean(0), points[[48, 54]].mean(0)
    angle = roll_of_face(left, right, mouth)
    rotation = points.new_tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    upright = points @ rotation
    low, high = upright.amin(0), upright.amax(0)
    x, y = ((low + high) / 2 @ rotation.T).tolist()
    return Crop((x, y), FACE_MARGIN * float((high - low).prod().sqrt()), angle, FACE_SIZE)


def crop_from_detection(detection: Detection) -> Crop:
    """Place the face crop on a detected face, about where `crop_from_landmarks` would on its landmarks.

    On average the centre is off by 3 % and the side by 4 % of the landmarks' size, the roll by 2 degrees;
    where the face fills the whole picture, by 4 % and 9 %.
    """
    left, right, nose, *corners = torch.from_numpy(detection.keypoints).double()
    box = torch.from_numpy(detection.box).double()
    eyes, mouth = (left + right) / 2, (corners[0] + corners[1]) / 2
    angle = roll_of_face(left, right, mouth) + DETECTION_ROLL
    rotation = _rotation(angle, box)
    extent = float((box[2:] - box[:2]).prod().sqrt())
    spread = math.hypot(float((right - left).norm()), float((mouth - eyes).norm()))
    middle = (box[:2] + box[2:]) / 2
    # The calibration holds in the upright frame, from the middle of the box.
    points = (torch.stack([(eyes + mouth) / 2, nose]) - middle) @ rotation
    aside = abs(float(points[1, 0] - points[0, 0]))
    shift = torch.stack(
        [
            DETECTION_X[0] * points[0, 0] + DETECTION_X[1] * points[1, 0],
            DETECTION_Y[0] * points[0, 1] + DETECTION_Y[1] * extent,
        ]
    )
    x, y = (middle + rotation @ shift).tolist()
    size = DETECTION_SIZE[0] * spread + DETECTION_SIZE[1] * extent + DETECTION_TURN * aside
    return Crop((x, y), FACE_MARGIN * size, angle, FACE_SIZE)


def roll_of_face(
    left_eye: Float[Tensor, "2"], right_eye: Float[Tensor, "2"], mouth: Float[Tensor, "2"]
) -> float:
    """Roll of a face in the picture, radians, clockwise > 0.

    The mean direction of the line between the eyes (left and right of the picture) and of the normal of
    the line from the eyes to the mouth, each with its length: the longer one counts more in side views.
    """
    down = mouth - (left_eye + right_eye) / 2
    across = right_eye - left_eye + torch.stack([down[1], -down[0]])
    return math.atan2(float(across[1]), float(across[0]))


def _turned(
    x: Float[Tensor, " W"], y: Float[Tensor, " H"], rotation: Float[Tensor, "2 2"]
) -> Float[Tensor, "H W 2"]:
    """Points (x, y) of a grid times a rotation: sums of columns and rows, in an eighth of the product's
    time."""
    turned = x.new_empty(len(y), len(x), 2)
    for k in (0, 1):
        torch.add(x * rotation[0, k], (y * rotation[1, k])[:, None], out=turned[..., k])
    return turned


def _rotation(angle: float, like: Tensor) -> Float[Tensor, "2 2"]:
    """Turns picture vectors clockwise by `angle` (radians)."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return like.new_tensor([[cosine, -sine], [sine, cosine]])
