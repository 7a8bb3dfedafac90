"""The Biwi Kinect Head Pose database (Fanelli et al., IJCV 2013): photos of heads with measured depth.

Below one root there is a folder for each recording, 01 to 24 (20 people, four of them twice), with `rgb.cal`,
`depth.cal` and, for every frame, `frame_NNNNN_rgb.png`, `frame_NNNNN_depth.bin` and `frame_NNNNN_pose.txt`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import region_triangles
from portrait3d.rendering.rasterizer import rasterize

REACH = 180.0
"""What is measured farther than this from the head's centre is no head, mm."""
JUMP = 15.0
"""No surface joins neighbouring pixels whose depths differ by more, mm."""


@dataclass(frozen=True, slots=True)
class BiwiFrame:
    """One photo with its depth; files are read when asked for."""

    folder: Path
    number: int

    def path(self, kind: str) -> Path:
        """One of the frame's files: "rgb.png", "depth.bin" or "pose.txt"."""
        return self.folder / f"frame_{self.number:05d}_{kind}"

    def pixels(self) -> UInt8[np.ndarray, "H W 3"]:
        """The photo, RGB."""
        with Image.open(self.path("rgb.png")) as image:
            return np.array(image.convert("RGB"))

    def depth(self) -> Float[np.ndarray, "H W"]:
        """Depth along the depth camera's axis, mm, 0 where it was not measured."""
        return read_depth(self.path("depth.bin"))

    def head(self) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Rotation of the head and its centre, in the depth camera's frame (mm)."""
        numbers = _numbers(self.path("pose.txt"), (3, 3, 3, 3))
        return numbers[:9].reshape(3, 3), numbers[9:]


@dataclass(frozen=True, slots=True)
class BiwiRecording:
    """One folder: one person before two calibrated cameras."""

    name: str
    photo_camera: Camera
    depth_camera: Camera
    photo_from_depth: Pose
    """From the depth camera's frame to the photo camera's, mm."""
    frames: Sequence[BiwiFrame]

    def depth_in_photo(self, frame: BiwiFrame) -> Float[np.ndarray, "H W"]:
        """Depth of the head (mm) at the photo's pixels, in the photo camera's frame; inf where unknown."""
        depth = frame.depth()
        height, width = self.depth_camera.height, self.depth_camera.width
        if depth.shape != (height, width):
            raise ValueError(f"{frame.path('depth.bin')} is {depth.shape}, depth.cal says {(height, width)}.")
        measured = torch.from_numpy(depth).float()
        points = DepthMap(measured, measured > 0, self.depth_camera).points()
        centre = torch.from_numpy(frame.head()[1]).float()
        near = (measured > 0) & ((points - centre).norm(dim=-1) < REACH)
        faces = region_triangles(near)
        of_corners = measured.flatten()[faces]
        faces = faces[of_corners.amax(1) - of_corners.amin(1) <= JUMP].contiguous()
        moved = self.photo_from_depth.apply(points.flatten(0, 1))
        moved = torch.where(near.flatten()[:, None], moved, torch.ones_like(moved))
        camera = self.photo_camera
        seen = rasterize(camera.screen(moved)[None], faces, camera.height, camera.width)
        return seen.depth[0].double().numpy()


def read_biwi(root: Path) -> list[BiwiRecording]:
    """All recordings below a root. Raises `FileNotFoundError` if there are none."""
    folders = sorted(path.parent for path in root.glob("*/rgb.cal"))
    if not folders:
        raise FileNotFoundError(f"{root} holds no recordings: no folder in it has a file rgb.cal.")
    return [read_recording(folder) for folder in folders]


def read_recording(folder: Path) -> BiwiRecording:
    """Calibration and list of frames of one folder."""
    photo_camera, photo_from_world = read_calibration(folder / "rgb.cal")
    depth_camera, depth_from_world = read_calibration(folder / "depth.cal")
    frames = [
        BiwiFrame(folder, int(path.name.split("_")[1]))
        for path in sorted(folder.glob("frame_*_rgb.png"))
        if path.with_name(path.name.replace("rgb.png", "depth.bin")).is_file()
    ]
    if not frames:
        raise FileNotFoundError(f"{folder} holds no frames with photo and depth.")
    return BiwiRecording(
        folder.name, photo_camera, depth_camera, photo_from_world @ depth_from_world.inverse(), frames
    )


def read_calibration(path: Path) -> tuple[Camera, Pose]:
    """A camera and its extrinsics, which take points of the world (the depth camera's frame, mm) to it.

    Pixel centres lie at integers in the file and at +0.5 here. The lens distortion is zero in the database
    and is not read.
    """
    numbers = _numbers(path, (3, 3, 3, None, 3, 3, 3, 3, 2))
    matrix, rotation, translation = numbers[:9].reshape(3, 3), numbers[9:18], numbers[18:21]
    if abs(matrix[0, 0] - matrix[1, 1]) > 1e-3 * matrix[0, 0]:
        raise ValueError(f"{path} has pixels that are not square: {matrix[0, 0]} and {matrix[1, 1]}.")
    width, height = (int(number) for number in numbers[21:])
    camera = Camera(
        torch.tensor(float(matrix[0, 0])), torch.from_numpy(matrix[:2, 2] + 0.5).float(), height, width
    )
    pose = Pose(torch.from_numpy(rotation.reshape(3, 3)).float(), torch.from_numpy(translation).float())
    return camera, pose


def read_depth(path: Path) -> Float[np.ndarray, "H W"]:
    """Decode a run-length coded depth image: width and height, then counts of empty and of full pixels in
    turn, each count of full ones followed by their depths (int32 and int16, little endian), mm."""
    data = path.read_bytes()
    if len(data) < 8:
        raise ValueError(f"{path} is too short for a depth image: {len(data)} bytes.")
    width, height = (int(number) for number in np.frombuffer(data, "<i4", 2))
    if not (0 < width <= 4096 and 0 < height <= 4096):
        raise ValueError(f"{path} is no depth image: it claims to have {width} x {height} pixels.")
    depth, place, at = np.zeros(width * height), 0, 8
    while place < depth.size:
        if at + 8 > len(data):
            raise ValueError(f"{path} breaks off after {place} of {depth.size} pixels.")
        empty, full = (int(number) for number in np.frombuffer(data, "<i4", 2, at))
        at += 8
        start, end = place + empty, place + empty + full
        if empty < 0 or full < 0 or empty + full == 0 or end > depth.size or at + 2 * full > len(data):
            raise ValueError(
                f"{path} is damaged at pixel {place}: {empty} empty and {full} full ones follow."
            )
        depth[start:end] = np.frombuffer(data, "<i2", full, at)
        at += 2 * full
        place = end
    return depth.reshape(height, width)


def _numbers(path: Path, lines: Sequence[int | None]) -> Float[np.ndarray, " N"]:
    """The numbers of a text file whose lines, blank ones aside, have so many; None skips a line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing.")
    found = [line.split() for line in path.read_text().splitlines() if line.strip()]
    fits = len(found) == len(lines) and all(
        count is None or len(line) == count for line, count in zip(found, lines, strict=True)
    )
    if not fits:
        raise ValueError(f"{path} should have lines of {lines} numbers, got {[len(line) for line in found]}.")
    kept = [line for line, count in zip(found, lines, strict=True) if count is not None]
    return np.array([float(word) for line in kept for word in line])
