"""The straight line from a photo to a head, and from a head to the photo with the head turned.

reconstruct     photo ─ find_faces ─► Detection ─ fit_face ─► FaceFit ─┬─ find_glasses ─► their share
                                                                       └─ find_earrings ─► photo without
                photo without ─ parse_head ─► HeadParsing ─ lift_head ─► HeadDepth ─► Portrait, all of these
portrait.head   Portrait ─ head.assembly ─► HeadMesh: skin, hair's body, hair's sheet
repose          Portrait ─ reposer ─► Reposer ─ coarse_turn ─► CoarseTurn ─ refine ─► holes filled
                                         └───────────────────────── composite ◄──────────┘
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from portrait3d import arguments
from portrait3d.errors import (
    DifferentPeopleError,
    DifferentPeopleWarning,
    InvalidImageError,
    NoFaceError,
    PoorFitWarning,
    UnseenPoseWarning,
    WeightsError,
)
from portrait3d.geometry import HeadMesh, Mesh, Pose
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.depth_net import DepthNet, HeadDepth, predict_depths
from portrait3d.models.earrings import find_earrings, lobes
from portrait3d.models.expressions import NEUTRAL
from portrait3d.models.face_depth import render_head_depths
from portrait3d.models.face_fit import FaceFit, fit_face, fit_faces
from portrait3d.models.face_net import FaceNet
from portrait3d.models.fit_quality import LEAST_QUALITY, FitSigns
from portrait3d.models.folding import fold_norms
from portrait3d.models.glasses import find_glasses
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing, ParsingExperts, first_looks, parse_head
from portrait3d.models.plausibility import check_depth, check_finite, head_of
from portrait3d.models.precision import fast_convolutions
from portrait3d.models.refinement_net import RefinementNet
from portrait3d.models.same_person import DOUBTFUL, SURE, strangeness, with_joint_identity
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.preprocessing.alignment import Crop, crop_from_detection
from portrait3d.preprocessing.detection import Detection, Detector, FaceDetector, choose_face
from portrait3d.preprocessing.image import Photo, PhotoSource, decode_photo
from portrait3d.preprocessing.removal import EARRINGS_EDGE, take_off
from portrait3d.pretrained import bundled, load_network
from portrait3d.reposing import Reposer
from portrait3d.reposing.expression import expression_vector
from portrait3d.reposing.reposer import CoarseTurn

NETWORKS = {
    "face": FaceNet,
    "parsing": ParsingExperts,
    "glasses": AccessoryNet,
    "earrings": AccessoryNet,
    "depth": DepthNet,
    "refinement": RefinementNet,
}
"""The learned stages; each one's weights lie in a directory of its name."""


class Portrait3D:
    """Deep 3D portraits: `reconstruct` a head from a photo, `repose` turns it in the photo.

    Detector, head model and networks are arguments, so that each can be replaced. Inference is
    deterministic: the same photo gives the same head, bit for bit, on one machine.
    """

    def __init__(
        self,
        *,
        head_model: HeadModel,
        face_net: FaceNet,
        parsing_net: ParsingExperts,
        glasses_net: AccessoryNet,
        earrings_net: AccessoryNet,
        depth_net: DepthNet,
        refinement_net: RefinementNet,
        detector: Detector | None = None,
    ) -> None:
        self.head_model = arguments.instance(head_model, HeadModel, "head_model")
        self.face_net = arguments.instance(face_net, FaceNet, "face_net").eval()
        self.parsing_net = arguments.instance(parsing_net, ParsingExperts, "parsing_net").eval()
        self.glasses_net = arguments.instance(glasses_net, AccessoryNet, "glasses_net").eval()
        self.earrings_net = arguments.instance(earrings_net, AccessoryNet, "earrings_net").eval()
        self.depth_net = arguments.instance(depth_net, DepthNet, "depth_net").eval()
        self.refinement_net = arguments.instance(refinement_net, RefinementNet, "refinement_net").eval()
        detector = FaceDetector() if detector is None else detector
        self.detector = arguments.instance(detector, Detector, "detector")
        self._last_reposer: Reposer | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What copies and other processes get: everything but the portrait that was turned last."""
        return self.__dict__ | {"_last_reposer": None}

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str] | None = None) -> "Portrait3D":
        """Load the bundled weights, or those of a directory with a folder for each of `NETWORKS`.

        A stage that the directory lacks is taken from the bundled weights. Raises `FileNotFoundError` if the
        directory holds none of them, `WeightsError` if weights don't fit.
        """
        root = None if directory is None else Path(arguments.path(directory, "directory"))
        if root is not None and not any((root / name).is_dir() for name in NETWORKS):
            raise FileNotFoundError(f"{directory} holds none of {', '.join(NETWORKS)}.")

        def place(name: str) -> Path:
            own = None if root is None else root / name
            return own if own is not None and own.is_dir() else bundled(name)

        nets = {f"{name}_net": _load(kind, place(name)) for name, kind in NETWORKS.items()}
        return cls(head_model=HeadModel.load(), **nets)

    def reconstruct(self, photo: PhotoSource, face: int = 0) -> Portrait:
        """Recover the head of one person in a photo.

        Args:
            photo: A path, bytes, a file opened in binary mode, a Pillow image or a uint8 RGB array
                [H, W, 3], which is copied.
            face: Which face, counted from the largest, from 0 on.

        Warns `PoorFitWarning` if the portrait's quality is below `LEAST_QUALITY`.

        Raises:
            InvalidImageError: The photo can't be read.
            NoFaceError: It shows no face, or fewer than asked for.
            TypeError, ValueError: `face` is no whole number, or below 0.
            WeightsError: A network makes of the photo what can be no head.
        """
        arguments.whole_number(face, "face")
        decoded, detections = self.find_faces(photo)
        return self.reconstruct_face(decoded, choose_face(detections, face, decoded.name))

    @torch.inference_mode()
    def reconstruct_person(self, photos: Sequence[PhotoSource], *, check: bool = True) -> Portrait:
        """Recover the head of one person from several photos, each of which shows its largest face.

        The portrait is that of the photo that shows the face best, in whose frame the head stands; `others`
        holds those of the remaining photos, the best first. One identity is fitted to all; pose, expression
        and light are each photo's own. The order of the photos does not matter.

        Args:
            photos: At least one, as `reconstruct` takes them.
            check: Whether photos of different people are refused, as far as their faces' shapes tell.

        Warns `PoorFitWarning` about the main photo, and `DifferentPeopleWarning` about photos in doubt.

        Raises:
            DifferentPeopleError: Faces are so unlike that they can hardly be one person's.
            InvalidImageError, NoFaceError: As of `reconstruct`, for any of the photos, which they name.
            TypeError, ValueError: `photos` is a single photo, or none.
        """
        arguments.truth_value(check, "check")
        if isinstance(photos, str | bytes | os.PathLike) or not isinstance(photos, Sequence):
            raise TypeError(f"photos must be a list of photos, got {type(photos).__name__}.")
        if not photos:
            raise ValueError("photos must hold at least one photo.")
        found = [(photo, faces[0]) for photo, faces in map(self.find_faces, photos)]
        read = [self._read_face(*one) for one in found]
        read.sort(key=lambda face: (-face.signs.quality, face.signs.turn))
        if check:
            self._check_one_person([(face.photo.name, face.fit) for face in read])
        fits = [face.fit for face in read]
        if len(fits) > 1:
            fits = with_joint_identity(fits, [face.signs.quality for face in read], self.head_model)
        main, *others = [self._lift(replace(face, fit=fit)) for face, fit in zip(read, fits, strict=True)]
        _warn_if_poor(main)
        return replace(main, others=tuple(others))

    def _check_one_person(self, fits: Sequence[tuple[str, FaceFit]]) -> None:
        """Raise or warn if the faces of named photos are unlike the first one's."""
        (best, main), *others = fits
        for name, fit in others:
            unlike = strangeness(main.coefficients.identity, fit.coefficients.identity, self.face_net)
            what = f"{unlike:.2f} unlike (0 the same, 1 unrelated)"
            if unlike > SURE:
                raise DifferentPeopleError(
                    f"{best} and {name} show different people: their faces are {what}."
                )
            if unlike > DOUBTFUL:
                warnings.warn(
                    f"{best} and {name} may show different people: their faces are {what}.",
                    DifferentPeopleWarning,
                    stacklevel=4,
                )

    def reconstruct_all(self, photo: PhotoSource) -> list[Portrait]:
        """Recover the heads of everybody in a photo, the largest first; as `reconstruct` does.

        To see each head as it comes, give what `find_faces` finds to `reconstruct_face`.
        """
        decoded, detections = self.find_faces(photo)
        return [self.reconstruct_face(decoded, detection) for detection in detections]

    def reconstruct_many(
        self, photos: Iterable[PhotoSource], batch: int = 8
    ) -> Iterator[Portrait | InvalidImageError | NoFaceError | WeightsError]:
        """Recover the head of the largest face in each photo; as `reconstruct` does, up to rounding.

        Networks see `batch` photos at once, and no more than these are held at a time. What comes out is in
        the photos' order: for each its portrait, or the error that `reconstruct` raises for it.
        """
        arguments.whole_number(batch, "batch", 1)
        if isinstance(photos, str | bytes | os.PathLike) or not isinstance(photos, Iterable):
            raise TypeError(f"photos must be several photos, got {type(photos).__name__}.")
        return self._in_batches(iter(photos), batch)

    def _in_batches(
        self, photos: Iterator[PhotoSource], batch: int
    ) -> Iterator[Portrait | InvalidImageError | NoFaceError | WeightsError]:
        while taken := list(islice(photos, batch)):
            results: dict[int, Portrait | InvalidImageError | NoFaceError | WeightsError] = {}
            found: dict[int, tuple[Photo, Detection]] = {}
            for place, photo in enumerate(taken):
                try:
                    decoded, faces = self.find_faces(photo)
                    found[place] = decoded, faces[0]
                except (InvalidImageError, NoFaceError) as error:
                    results[place] = error
            results |= zip(found, self._reconstruct_faces(list(found.values())), strict=True)
            for place in range(len(taken)):
                portrait = results.pop(place)
                if isinstance(portrait, Portrait):
                    _warn_if_poor(portrait)
                yield portrait

    @torch.inference_mode()
    def _reconstruct_faces(
        self, found: Sequence[tuple[Photo, Detection]]
    ) -> list[Portrait] | list[Portrait | WeightsError]:
        """The portraits of faces in several photos; where networks fail at all together, each by itself."""
        try:
            return self._lift_all(self._read_faces(found))
        except WeightsError as error:
            if len(found) == 1:
                return [error]
            return [portrait for face in found for portrait in self._reconstruct_faces([face])]

    def find_faces(self, photo: PhotoSource) -> tuple[Photo, list[Detection]]:
        """The decoded photo and its faces, at least one, the largest first; errors as of `reconstruct`."""
        decoded = decode_photo(photo)
        return decoded, self.detector.detect(decoded.pixels, decoded.name)

    @torch.inference_mode()
    def reconstruct_face(self, photo: Photo, detection: Detection) -> Portrait:
        """Recover the head of one face that the detector found; as `reconstruct` does.

        Raises `TypeError` or `ValueError` for a detection whose arrays are of another shape or not finite.
        """
        portrait = self._lift(self._read_face(photo, detection))
        _warn_if_poor(portrait)
        return portrait

    def _read_face(self, photo: Photo, detection: Detection) -> "_FaceReading":
        """The fitted face, what every pixel around it shows, and signs of how far to trust both."""
        return self._read_faces([(photo, detection)])[0]

    def _read_faces(self, found: Sequence[tuple[Photo, Detection]]) -> "list[_FaceReading]":
        """The same of one face in each of several photos, networks working on all at once."""
        if not found:
            return []
        for photo, detection in found:
            _check_face(photo, detection)
        crops = [crop_from_detection(detection) for _, detection in found]
        fits = fit_faces(self.face_net, self.head_model, [photo.pixels for photo, _ in found], crops)
        head_crops = [fit.crop.head_crop() for fit in fits]
        earrings = [self.find_earrings(photo, fit) for (photo, _), fit in zip(found, fits, strict=True)]
        bare = [
            photo
            if worn is None
            else replace(photo, pixels=take_off(photo.pixels, worn, head_crop, EARRINGS_EDGE))
            for (photo, _), worn, head_crop in zip(found, earrings, head_crops, strict=True)
        ]
        read = []
        looks = first_looks(self.parsing_net, [photo.pixels for photo in bare], head_crops)
        for face, fit, worn, photo, look in zip(found, fits, earrings, bare, looks, strict=True):
            head_crop = fit.crop.head_crop()
            parsing = parse_head(self.parsing_net, photo.pixels, head_crop, look)
            check_finite(head_of(self.parsing_net), parsing.head_probabilities)
            signs = FitSigns.of(fit, head_crop, parsing, self.head_model)
            read.append(_FaceReading(*face, fit, worn, photo, parsing, signs))
        return read

    def _lift(self, face: "_FaceReading") -> Portrait:
        """The portrait of a face that was read, with the depth of its head."""
        return self._lift_all([face])[0]

    def _lift_all(self, read: "Sequence[_FaceReading]") -> list[Portrait]:
        """The portraits of faces that were read, the depth network working on all at once."""
        if not read:
            return []
        depths = self._lift_heads(
            [(face.bare, face.fit, face.fit.crop.head_crop(), face.parsing) for face in read]
        )
        return [self._portrait(face, depth) for face, depth in zip(read, depths, strict=True)]

    def _portrait(self, face: "_FaceReading", depth: HeadDepth) -> Portrait:
        photo, fit = face.photo, face.fit
        head_crop = fit.crop.head_crop()
        vertices = self.head_model.vertices(fit.coefficients.batched)
        camera_from_model = head_crop.roll @ fit.crop_from_model
        return Portrait(
            photo=photo,
            detection=face.detection,
            camera=head_crop.photo_camera(*photo.pixels.shape[:2]),
            head_crop=head_crop,
            coefficients=fit.coefficients,
            camera_from_model=camera_from_model,
            face=Mesh(camera_from_model.apply(vertices[0]), self.head_model.faces),
            landmarks=fit.landmarks.numpy(),
            head_parsing=face.parsing,
            depth=depth,
            head_model=self.head_model,
            glasses=find_glasses(self.glasses_net, photo.pixels, fit.crop, fit.landmarks),
            earrings=face.earrings,
            quality=face.signs.quality,
        )

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
        expression; the weight of `neutral` takes that one out, at 1 all of it. The result has the photo's
        size; pixels that the head neither leaves nor newly covers are the photo's own.

        Angles lie within `arguments.ANGLES` (±180°, pitch ±90°), weights within `arguments.WEIGHTS` (-1 to
        2). Beyond ±90° of yaw nothing of the photo's face is seen: warns `UnseenPoseWarning`. Raises
        `TypeError` for what is no number, `ValueError` for numbers out of range and for unknown expressions.
        """
        arguments.instance(portrait, Portrait, "portrait")
        asked = {"yaw": yaw, "pitch": pitch, "roll": roll}
        angles = {name: arguments.angle(value, name) for name, value in asked.items() if value is not None}
        weights = arguments.weights({} if expression is None else expression, "expression")
        neutral = weights.pop(NEUTRAL, 0.0)
        change = expression_vector(weights, self.head_model.expression_names)
        _warn_if_unseen(angles.get("yaw", 0.0), portrait)
        return self.draw_pose(self.reposer(portrait), replace(portrait.pose, **angles), change, neutral)

    @torch.inference_mode()
    def draw_pose(
        self,
        reposer: Reposer,
        pose: HeadAngles,
        expression: Float[np.ndarray, "64"] | None = None,
        neutral: float = 0.0,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The refined picture of a pose; `expression` is added to the photo's expression coefficients.

        Before, the share `neutral` of the photo's own expression is taken out. Raises `TypeError` or
        `ValueError` for what is no pose and for what isn't 64 finite numbers.
        """
        arguments.instance(reposer, Reposer, "reposer")
        arguments.instance(pose, HeadAngles, "pose").check("pose")
        if expression is not None:
            arguments.numbers_of(expression, "expression", len(self.head_model.expression_basis))
        arguments.number(neutral, "neutral", *arguments.WEIGHTS)
        turn = reposer.coarse_turn(pose, expression, neutral, guided=self.refinement_net.guided)
        return self.finish(reposer, turn)

    @torch.inference_mode()
    def finish(self, reposer: Reposer, turn: CoarseTurn) -> UInt8[np.ndarray, "H W 3"]:
        """The refined picture of a reposer's coarse turn; a guided refinement network needs a guided one."""
        refined = None if turn.still else self.refine(turn)
        return reposer.composite(turn, refined, everywhere=self.refinement_net.guided)

    @torch.inference_mode()
    def refine(self, turn: CoarseTurn) -> Float[Tensor, "3 S S"]:
        """The refinement network's picture of a coarse turn (paper, section 3.4)."""
        arguments.instance(turn, CoarseTurn, "turn")
        maps = [turn.image, turn.holes] if turn.guide is None else [turn.image, turn.holes, turn.guide]
        # A guided network leaves alone what was not drawn: it need not see more than the rest.
        rows, columns = turn.box() if self.refinement_net.guided else (slice(None), slice(None))
        # What it adds to a picture is small: rounding it to bfloat16 moves few bytes, none by more than 1.
        with fast_convolutions():
            part = self.refinement_net(*(values[None, :, rows, columns] for values in maps))[0]
        check_finite(head_of(self.refinement_net), part)
        picture = turn.image.clone()
        picture[:, rows, columns] = part
        return picture

    @torch.inference_mode()
    def fit_face(self, photo: Photo, detection: Detection) -> FaceFit:
        """Shape, light and pose of a detected face (paper, section 3.1); errors as of `reconstruct_face`."""
        _check_face(photo, detection)
        return fit_face(self.face_net, self.head_model, photo.pixels, crop_from_detection(detection))

    @torch.inference_mode()
    def find_earrings(self, photo: Photo, fit: FaceFit) -> Float[np.ndarray, "H W"] | None:
        """How much of every pixel of a photo is an earring of a fitted face; None if none are worn."""
        vertices = self.head_model.vertices(fit.coefficients.batched)[0]
        places = fit.crop_from_model.apply(lobes(self.head_model, vertices))
        return find_earrings(self.earrings_net, photo.pixels, fit.crop, places)

    @torch.inference_mode()
    def lift_head(self, photo: Photo, fit: FaceFit, head_crop: Crop, parsing: HeadParsing) -> HeadDepth:
        """First and last surface of face, hair and ears in the wide crop's camera (paper, section 3.3)."""
        return self._lift_heads([(photo, fit, head_crop, parsing)])[0]

    def _lift_heads(self, read: Sequence[tuple[Photo, FaceFit, Crop, HeadParsing]]) -> list[HeadDepth]:
        """The same of one head in each of several photos."""
        crops = [head_crop.wide_crop(self.depth_net.size) for _, _, head_crop, _ in read]
        # Wide crops of one size have one camera.
        camera = crops[0].camera()
        coefficients = [fit.coefficients.to_vector() for _, fit, _, _ in read]
        vertices = self.head_model.vertices(FaceCoefficients.from_vector(torch.stack(coefficients)))
        poses = [fit.crop_from_model for _, fit, _, _ in read]
        pose = Pose(
            torch.stack([one.rotation for one in poses]), torch.stack([one.translation for one in poses])
        )
        fitted = render_head_depths(self.head_model, vertices, pose, camera)
        labels = [
            torch.from_numpy(crop.extract_labels(parsing.labels))
            for crop, (*_, parsing) in zip(crops, read, strict=True)
        ]
        pictures = [crop.extract(photo.pixels) for crop, (photo, *_) in zip(crops, read, strict=True)]
        depths = predict_depths(self.depth_net, torch.stack(pictures), fitted, torch.stack(labels), camera)
        place = head_of(self.depth_net)
        for found, middle in zip(depths, fitted.center, strict=True):
            for depth in (found.front, found.back):
                check_depth(depth, found.valid, float(middle), place)
            check_finite(place, found.back_hair, found.front_scale, found.back_scale)
        return depths

    def head_without_light(self, portrait: Portrait) -> HeadMesh:
        """A portrait's head with the fitted light's shading taken out of the skin's colours.

        For scenes with a light of their own: `export("head.glb", lit=True)`. Highlights and cast shadows
        stay.
        """
        arguments.instance(portrait, Portrait, "portrait")
        return portrait.build_head(delight=True)

    def reposer(self, portrait: Portrait) -> Reposer:
        """The reposer of a portrait; the last one is kept, as one portrait is often turned many times."""
        arguments.instance(portrait, Portrait, "portrait")
        reposer = self._last_reposer
        if reposer is None or reposer.portrait is not portrait:
            reposer = self._last_reposer = Reposer(portrait, self.head_model)
        return reposer


@dataclass(frozen=True, slots=True, eq=False)
class _FaceReading:
    """One face of a photo, and what is known of it before its depth."""

    photo: Photo
    detection: Detection
    fit: FaceFit
    earrings: Float[np.ndarray, "H W"] | None
    bare: Photo
    """The photo without earrings, which parsing and depth see."""
    parsing: HeadParsing
    signs: FitSigns


def _load(kind: type[Any], directory: Path) -> Any:
    """One learned stage from its directory, made to be used and not to be trained."""
    net = ParsingExperts.load(directory) if kind is ParsingExperts else load_network(kind, directory)
    fold_norms(net)
    return net


def _check_face(photo: Photo, detection: Detection) -> None:
    """Refuse what is no photo with a detected face; a detector of one's own may have made it."""
    arguments.picture(arguments.instance(photo, Photo, "photo").pixels, "photo.pixels")
    arguments.instance(detection, Detection, "detection")
    x0, y0, x1, y1 = arguments.numbers_of(detection.box, "detection.box", 4)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"detection.box must be x0, y0, x1, y1, got {detection.box.tolist()}.")
    arguments.numbers_of(detection.keypoints, "detection.keypoints", 5, 2)


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


def _warn_if_unseen(yaw: float, portrait: Portrait) -> None:
    """Warn the caller of `repose` about a yaw (degrees) at which nothing of the photo's face is seen."""
    if abs(yaw) > arguments.SEEN_YAW:
        warnings.warn(
            f"At a yaw of {yaw:.0f} degrees the head shows nothing of the face in {portrait.photo.name}: "
            "what is drawn is a guess.",
            UnseenPoseWarning,
            stacklevel=4,
        )
