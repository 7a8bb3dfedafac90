"""Photos of artist-made heads, and how far a head that was reconstructed from one lies from the true one."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from portrait3d.data.people.avatars import Avatar, AvatarView, draw_avatar
from portrait3d.evaluation.surfaces import (
    Surface,
    outer_surface,
    sample_surface,
    seen,
    turned,
)
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import HeadMesh, HeadPart
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.similarity import Similarity
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.parsing_classes import HAIRY, HEAD, ParsingClass
from portrait3d.rendering.rasterizer import rasterize

SIZE, FOCAL = 512, 1200.0
"""Of the photos, pixels."""
PRINCIPAL_ROW = 210.0
"""Row of the head's middle: below it is room for hair that falls on the chest."""
PHOTO_DISTANCE = 1000.0
"""From the camera to the head's middle, mm."""
AMBIENT, DIRECTED = 3.2, (-0.15, -0.3, -0.3)
"""The photos' light as spherical harmonics: the constant, and x, y, z of those that are linear; it comes from
above the viewer's left shoulder."""
GROUND_ABOVE, GROUND_BELOW = (0.62, 0.66, 0.7), (0.42, 0.44, 0.47)
"""Background at the photo's top and bottom, RGB."""
FACE_SIDE, FACE_TOP, FACE_DEPTH = 65.0, -40.0, -25.0
"""The face proper in the avatar's frame (mm): |x| and z at most, y at least so much. Bald scalps are face by
class, but not what a head is aligned by."""
SCALP_DEPTH = 20.0
"""Skin of the class face that lies deeper than this (mm) is behind the ears: scalp and nape without hair."""
SIDES, BACK = 45.0, 135.0
"""Azimuths about the head's middle, degrees from the photo's view, at which sides and back begin."""
LEAST_PIXELS = 200
"""Of the face that both show; with fewer there is nothing to align by."""


@dataclass(frozen=True, slots=True, eq=False)
class AvatarPhoto:
    """A photo of an avatar, with its truth."""

    avatar: Avatar
    yaw: float
    """Degrees."""
    camera: Camera
    camera_from_avatar: Pose
    view: AvatarView

    @property
    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The photo, RGB."""
        return as_bytes(self.view.picture)

    @property
    def chin(self) -> Float[np.ndarray, "3"]:
        """The lowest place of the face in the avatar's frame, mm."""
        face = self.avatar.vertices[self.avatar.faces[self.avatar.labels == ParsingClass.FACE]].reshape(-1, 3)
        return face[face[:, 1].argmax()]

    @property
    def hair_end(self) -> float:
        """How far down the photo shows hair (y in the avatar's frame, mm), at least to the chin."""
        hair = np.isin(self.view.classes, HAIRY)
        return float(self.places(hair)[:, 1].max(initial=self.chin[1]))

    def places(self, shown: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "N 3"]:
        """What some of the pixels show, in the avatar's frame, mm."""
        depth = torch.from_numpy(self.view.depth)[shown]
        points = self.camera.unproject(self.camera.pixel_centres()[shown], depth)
        return self.camera_from_avatar.inverse().apply(points).numpy()


@dataclass(frozen=True, slots=True)
class HeadErrors:
    """Mean distances in the frame of the faces, mm; NaN where a head has no such part."""

    hair_seen: float
    """From true hair that the photo shows to the reconstruction."""
    hair_predicted: float
    """From the reconstruction's hair to the true head."""
    unseen: float
    """From true hair and bare scalp that the photo doesn't show to the reconstruction, down to where it shows
    hair: what hides behind the body is anybody's guess."""
    unseen_sides: float
    """The same from `SIDES` on, seen from above; 0 is before the head, 180 behind it."""
    unseen_back: float
    """The same from `BACK` on."""
    ears: float
    """From true ears that aren't covered to the reconstruction."""
    face: float
    """From the face that the photo shows to the reconstruction."""
    size: float
    """Of the reconstruction, over the true one: what alignment takes out."""


def photograph(avatar: Avatar, yaw: float) -> AvatarPhoto:
    """Photograph an avatar that looks aside by so many degrees."""
    camera = Camera(torch.tensor(FOCAL), torch.tensor([SIZE / 2, PRINCIPAL_ROW]), SIZE, SIZE)
    pose = turned(yaw, 0.0, np.zeros(3), PHOTO_DISTANCE)
    above, below = (torch.tensor(colour)[:, None, None] for colour in (GROUND_ABOVE, GROUND_BELOW))
    down = torch.linspace(0, 1, SIZE)[None, :, None]
    ground = (above + (below - above) * down).expand(3, SIZE, SIZE)
    view = draw_avatar(avatar, pose, camera, light=studio_light(), background=ground, samples=2)
    return AvatarPhoto(avatar, yaw, camera, pose, view)


def studio_light(turn: float = 0.0) -> Float[Tensor, "9"]:
    """The photos' light in the frame of a camera that sees the lit head turned by so many degrees of yaw."""
    none = torch.tensor(0.0)
    rotation = Pose.from_euler(torch.tensor(math.radians(turn)), none, none, torch.zeros(3)).rotation
    x, y, z = (rotation @ torch.tensor(DIRECTED)).tolist()
    return torch.tensor([AMBIENT, y, z, x, 0.0, 0.0, 0.0, 0.0, 0.0])


def true_surface(avatar: Avatar) -> Surface:
    """The outer surface of an avatar's head and neck in its own frame, labelled by the parsing's classes."""
    wanted = np.isin(avatar.labels, (*HEAD, ParsingClass.NECK))
    samples = sample_surface(avatar.vertices, avatar.faces[wanted], avatar.labels[wanted])
    return samples.kept(outer_surface(samples, avatar.vertices, avatar.faces))


def found_surface(head: HeadMesh, avatar_from_found: Similarity) -> Surface:
    """The outer surface of a reconstruction in the avatar's frame, labelled by `HeadPart`."""
    vertices = avatar_from_found.apply(head.vertices)
    samples = sample_surface(vertices, head.faces, head.part[head.faces[:, 0]])
    return samples.kept(outer_surface(samples, vertices, head.faces))


def measure_head(
    head: HeadMesh, camera: Camera, photo: AvatarPhoto, truth: Surface
) -> tuple[HeadErrors, Similarity]:
    """Compare a reconstruction with the head that was photographed.

    Args:
        head: The reconstruction, in its camera's frame.
        camera: The camera that the reconstruction gives the photo.
        photo: The photo.
        truth: `true_surface` of the avatar.

    Returns:
        The errors, and the motion from the reconstruction's frame to the avatar's.
    """
    motion = align_faces(head, camera, photo)
    found = found_surface(head, motion)
    shown = seen(truth.points, photo.camera_from_avatar, photo.camera, photo.view.depth)
    face = (truth.labels == ParsingClass.FACE) & in_face_proper(truth.points)
    hair = np.isin(truth.labels, HAIRY)
    scalp = (truth.labels == ParsingClass.FACE) & (truth.points[:, 2] > SCALP_DEPTH)
    unseen = (hair | scalp) & ~shown & (truth.points[:, 1] <= photo.hair_end)
    azimuth = azimuths(truth.points, photo.camera_from_avatar)
    aside, behind = (azimuth >= SIDES) & (azimuth < BACK), azimuth >= BACK
    errors = HeadErrors(
        hair_seen=truth.kept(hair & shown).distance_to(found),
        hair_predicted=found.of(HeadPart.HAIR).distance_to(truth),
        unseen=truth.kept(unseen).distance_to(found),
        unseen_sides=truth.kept(unseen & aside).distance_to(found),
        unseen_back=truth.kept(unseen & behind).distance_to(found),
        ears=truth.of(ParsingClass.LEFT_EAR, ParsingClass.RIGHT_EAR).distance_to(found),
        face=truth.kept(face & shown).distance_to(found),
        size=1 / motion.scale,
    )
    return errors, motion


def azimuths(points: Float[np.ndarray, "N 3"], camera_from_avatar: Pose) -> Float[np.ndarray, " N"]:
    """How far around the head points of the avatar's frame (mm) lie, from the side of the camera, degrees."""
    rotation = camera_from_avatar.rotation.double().numpy()
    across, _, away = rotation @ (points - HEAD_CENTRE).T
    return np.degrees(np.arctan2(np.abs(across), -away))


def in_face_proper(points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
    """Which points of an avatar's class face (mm) lie from brows to chin, from cheek to cheek."""
    x, y, z = points.T
    return (np.abs(x) <= FACE_SIDE) & (y >= FACE_TOP) & (z <= FACE_DEPTH)


def align_faces(head: HeadMesh, camera: Camera, photo: AvatarPhoto) -> Similarity:
    """The motion from a reconstruction's frame to the avatar's by the pixels where both show the face.

    A pixel of the photo is the same spot of the skin in both, so nothing has to be searched for; only its
    depth can be wrong. Those that fit worst are left out. `ValueError` if there are too few.
    """
    screen = camera.screen(torch.from_numpy(head.vertices).float())
    drawn = rasterize(screen[None], torch.from_numpy(head.faces), SIZE, SIZE)
    index, depth = drawn.face_index[0].numpy(), drawn.depth[0]
    part = np.append(head.part[head.faces[:, 0]], np.uint8(HeadPart.REST))[index]
    both = (part == HeadPart.FACE) & (photo.view.classes == ParsingClass.FACE)
    target = photo.places(both)
    proper = in_face_proper(target)
    if proper.sum() < LEAST_PIXELS:
        raise ValueError("The reconstruction shows no face where the photo does.")
    source = camera.unproject(photo.camera.pixel_centres()[both], depth[both]).numpy()[proper]
    return Similarity.robust(source, target[proper])
