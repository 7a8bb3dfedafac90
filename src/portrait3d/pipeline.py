"""The straight line from a photo to a head, and from a head to the photo with the head turned."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d.errors import PoorFitWarning
from portrait3d.geometry import DepthMap, HeadMesh, Mesh, Pose
from portrait3d.geometry.stitching import stitch
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import DepthNet, predict_depth
from portrait3d.models.face_depth import render_face_depth
from portrait3d.models.face_fit import FaceFit, fit_face
from portrait3d.models.face_net import FaceNet
from portrait3d.models.fit_quality import LEAST_QUALITY, FitSigns
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing, ParsingExperts, parse_head
from portrait3d.models.placed_head import place_head, texels
from portrait3d.models.pretrained import bundled, load_network
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import Crop, crop_from_detection
from portrait3d.preprocessing.detection import Detection, Detector, FaceDetector, choose_face
from portrait3d.preprocessing.image import Photo, PhotoSource, decode_photo
from portrait3d.reposing import Reposer
from portrait3d.reposing.expression import expression_vector
from portrait3d.reposing.reposer import CoarseTurn

NETWORKS = {"face": FaceNet, "parsing": ParsingExperts, "depth": DepthNet, "refinement": RefinementNet}
"""The learned stages; each one's weights lie in a directory of its name."""
TEXTURE_SIZE = 1024
"""Largest side of the head's texture, in pixels; a smaller photo gives a smaller one."""
MATTE_SCALE = 2
"""How many times finer than the head crop loose hair is drawn: mattes tell little more."""


class Portrait3D:
    """Deep 3D portraits: `reconstruct` a head from a photo, `repose` turns it in the photo.

    Every stage is an argument, so that any of them can be replaced. Inference is deterministic: the same
    photo gives the same head, bit for bit, on one machine.
    """

    def __init__(
        self,
        *,
        head_model: HeadModel,
        face_net: FaceNet,
        parsing_net: ParsingExperts,
        depth_net: DepthNet,
        refinement_net: RefinementNet,
        detector: Detector | None = None,
    ) -> None:
        self.head_model = head_model
        self.face_net = face_net.eval()
        self.parsing_net = parsing_net.eval()
        self.depth_net = depth_net.eval()
        self.refinement_net = refinement_net.eval()
        self.detector = detector or FaceDetector()
        self._last_reposer: Reposer | None = None

    @classmethod
    def from_pretrained(cls, directory: str | Path | None = None) -> "Portrait3D":
        """Load the bundled weights, or those of a directory with a folder for each of `NETWORKS`.

        A stage that the directory lacks is taken from the bundled weights. Raises `FileNotFoundError` if the
        directory holds none of them, `WeightsError` if weights don't fit.
        """
        if directory is not None and not any((Path(directory) / name).is_dir() for name in NETWORKS):
            raise FileNotFoundError(f"{directory} holds none of {', '.join(NETWORKS)}.")

        def place(name: str) -> Path:
            own = None if directory is None else Path(directory) / name
            return own if own is not None and own.is_dir() else bundled(name)

        nets = {f"{name}_net": _load(kind, place(name)) for name, kind in NETWORKS.items()}
        return cls(head_model=HeadModel.load(), **nets)

    def reconstruct(self, photo: PhotoSource, face: int = 0) -> Portrait:
        """Recover the head of one person in a photo.

        Args:
            photo: A path, a Pillow image or a uint8 RGB array [H, W, 3].
            face: Which face, counted from the largest.

        Warns `PoorFitWarning` if the portrait's quality is below `LEAST_QUALITY`.

        Raises:
            InvalidImageError: The photo can't be read.
            NoFaceError: It shows no face, or fewer than asked for.
        """
        decoded = decode_photo(photo)
        detections = self.detector.detect(decoded.pixels, decoded.name)
        return self.reconstruct_face(decoded, choose_face(detections, face, decoded.name))

    def reconstruct_all(self, photo: PhotoSource) -> list[Portrait]:
        """Recover the heads of everybody in a photo, the largest first; as `reconstruct` does."""
        decoded = decode_photo(photo)
        detections = self.detector.detect(decoded.pixels, decoded.name)
        return [self.reconstruct_face(decoded, detection) for detection in detections]

    @torch.inference_mode()
    def reconstruct_face(self, photo: Photo, detection: Detection) -> Portrait:
        """Recover the head of one face that the detector found; as `reconstruct` does."""
        fit = self.fit_face(photo, detection)
        head_crop = fit.crop.head_crop()
        parsing = parse_head(self.parsing_net, photo.pixels, head_crop)
        depth = self.lift_head(photo, fit, head_crop, parsing)
        head = self.stitch_head(photo, fit, head_crop, parsing, depth)
        vertices = self.head_model.vertices(fit.coefficients.batched)
        camera = head_crop.photo_camera(*photo.pixels.shape[:2])
        camera_from_model = head_crop.roll @ fit.crop_from_model
        portrait = Portrait(
            photo=photo,
            detection=detection,
            camera=camera,
            head_crop=head_crop,
            coefficients=fit.coefficients,
            camera_from_model=camera_from_model,
            face=Mesh(camera_from_model.apply(vertices[0]), self.head_model.faces),
            landmarks=fit.landmarks.numpy(),
            head_parsing=parsing,
            depth=depth,
            head=replace(head, camera_from_head=camera_from_model),
            quality=FitSigns.of(fit, head_crop, parsing, self.head_model).quality,
        )
        _warn_if_poor(portrait)
        return portrait

    @torch.inference_mode()
    def repose(
        self,
        portrait: Portrait,
        yaw: float | None = None,
        pitch: float | None = None,
        roll: float | None = None,
        expression: Mapping[str, float] | None = None,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The photo with the head turned to an absolute pose, in degrees; None keeps the photo's own angle.

        yaw > 0 looks to the picture's right, pitch > 0 up, roll > 0 leans clockwise. `expression` holds
        weights by ARKit's names (left and right are the person's), which are added to the photo's own
        expression. The result has the photo's size; pixels that the head neither leaves nor newly covers are
        the photo's own. Raises `ValueError` for numbers that are not finite and for unknown expressions.
        """
        now = portrait.pose
        asked = {"yaw": yaw, "pitch": pitch, "roll": roll}
        for name, angle in asked.items():
            if angle is not None and not math.isfinite(angle):
                raise ValueError(f"{name} must be a finite number of degrees, got {angle}.")
        angles = {name: getattr(now, name) if angle is None else angle for name, angle in asked.items()}
        change = expression_vector(expression or {}, self.head_model.expression_names)
        return self.draw_pose(self.reposer(portrait), HeadAngles(**angles), change)

    @torch.inference_mode()
    def draw_pose(
        self, reposer: Reposer, pose: HeadAngles, expression: Float[np.ndarray, "64"] | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The refined picture of a pose; `expression` is added to the photo's expression coefficients."""
        turn = reposer.coarse_turn(pose, expression)
        return reposer.composite(turn, None if turn.still else self.refine(turn))

    @torch.inference_mode()
    def refine(self, turn: CoarseTurn) -> Float[Tensor, "3 S S"]:
        """The refinement network's picture of a coarse turn (paper, section 3.4)."""
        return self.refinement_net(turn.image[None], turn.holes[None])[0]

    @torch.inference_mode()
    def fit_face(self, photo: Photo, detection: Detection) -> FaceFit:
        """Shape, light and pose of a detected face (paper, section 3.1)."""
        return fit_face(self.face_net, self.head_model, photo.pixels, crop_from_detection(detection))

    @torch.inference_mode()
    def lift_head(self, photo: Photo, fit: FaceFit, head_crop: Crop, parsing: HeadParsing) -> DepthMap:
        """Depth of face, hair and ears in the head crop's camera (paper, section 3.3)."""
        camera = head_crop.camera()
        face = render_face_depth(
            self.head_model, fit.coefficients.batched, fit.crop_from_model.batched, camera
        )
        labels = torch.from_numpy(parsing.head_labels)[None]
        picture = head_crop.extract(photo.pixels)[None]
        depth = predict_depth(self.depth_net, picture, face, labels, camera)
        return DepthMap(depth.depth[0], depth.valid[0], camera)

    @torch.inference_mode()
    def stitch_head(
        self, photo: Photo, fit: FaceFit, head_crop: Crop, parsing: HeadParsing, depth: DepthMap
    ) -> HeadMesh:
        """One mesh of the face and of everything else that was lifted, in the photo's camera frame, mm."""
        return self._stitch(photo, fit.coefficients, fit.crop_from_model, head_crop, parsing, depth)

    @torch.inference_mode()
    def head_without_light(self, portrait: Portrait) -> HeadMesh:
        """A portrait's head with the fitted light's shading taken out of the skin's colours.

        For scenes with a light of their own: `export("head.glb", lit=True)`. Highlights and cast shadows
        stay.
        """
        head = self._stitch(
            portrait.photo,
            portrait.coefficients,
            portrait.crop_from_model,
            portrait.head_crop,
            portrait.head_parsing,
            portrait.depth,
            delight=True,
        )
        return replace(head, camera_from_head=portrait.camera_from_model)

    def _stitch(
        self,
        photo: Photo,
        coefficients: FaceCoefficients,
        crop_from_model: Pose,
        head_crop: Crop,
        parsing: HeadParsing,
        depth: DepthMap,
        *,
        delight: bool = False,
    ) -> HeadMesh:
        vertices = self.head_model.vertices(coefficients.batched)[0]
        placed = place_head(
            self.head_model,
            vertices,
            crop_from_model,
            head_crop.camera(),
            coefficients.lighting,
            parsing.head_labels,
        )
        picture = _picture(photo, head_crop)
        return stitch(
            placed,
            texels(placed.layout, len(picture)),
            depth,
            parsing.head_probabilities.numpy(),
            picture,
            head_crop.angle,
            matte=_matte(parsing, head_crop.resized(MATTE_SCALE * head_crop.size)),
            delight=delight,
        )

    def reposer(self, portrait: Portrait) -> Reposer:
        """The reposer of a portrait; the last one is kept, as one portrait is often turned many times."""
        reposer = self._last_reposer
        if reposer is None or reposer.portrait is not portrait:
            reposer = self._last_reposer = Reposer(portrait, self.head_model)
        return reposer


def _load(kind: type[Any], directory: Path) -> Any:
    """One learned stage from its directory."""
    return ParsingExperts.load(directory) if kind is ParsingExperts else load_network(kind, directory)


def _warn_if_poor(portrait: Portrait) -> None:
    """Warn the caller of `reconstruct` about a fit of low quality."""
    if portrait.quality < LEAST_QUALITY:
        x, y = portrait.landmarks.mean(axis=0)
        warnings.warn(
            f"The face at ({x:.0f}, {y:.0f}) in {portrait.photo.name} may be fitted badly: quality "
            f"{portrait.quality:.2f}, below {LEAST_QUALITY} (covered, cut, blurred, small or far turned).",
            PoorFitWarning,
            stacklevel=5,
        )


def _picture(photo: Photo, head_crop: Crop) -> UInt8[np.ndarray, "S S 3"]:
    """The head crop at the texture's resolution."""
    size = min(TEXTURE_SIZE, max(head_crop.size, 2 * round(head_crop.side / 2)))
    picture = head_crop.resized(size).extract(photo.pixels)
    return (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _matte(parsing: HeadParsing, crop: Crop) -> Float[np.ndarray, "M M"]:
    """What the matte says of a crop's pixels."""
    grey = np.round(parsing.matte * 255).astype(np.uint8)[..., None]
    return crop.extract(np.broadcast_to(grey, (*grey.shape[:2], 3)))[0].numpy()
