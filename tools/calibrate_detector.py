"""Fit the constants that place the face crop on a detection (portrait3d.preprocessing.alignment).

python tools/calibrate_detector.py DATA [--every 3]

DATA is a folder of labelled photos (docs/architecture.md); only its training split is used.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.preprocessing.alignment import FACE_MARGIN, crop_from_landmarks, roll_of_face
from portrait3d.preprocessing.detection import FaceDetector, NoFaceError


def main() -> None:
    """Detect, compare with the landmarks, print the constants."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=3, help="use every n-th photo")
    arguments = parser.parse_args()
    detector = FaceDetector()
    found, crops = [], []
    photos = [photo for photo in PhotoFolder(arguments.data) if photo.split == "train"]
    for photo in photos[:: arguments.every]:
        try:
            faces = detector.detect(photo.pixels(), photo.name)
        except NoFaceError as error:
            print(error)
            continue
        crop = crop_from_landmarks(torch.from_numpy(photo.landmarks))
        middles = [np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - crop.centre) for face in faces]
        found.append(faces[int(np.argmin(middles))])
        crops.append(crop)

    box = np.stack([face.box for face in found]).astype(float)
    points = np.stack([face.keypoints for face in found]).astype(float)
    middle, extent = (box[:, :2] + box[:, 2:]) / 2, np.sqrt(np.prod(box[:, 2:] - box[:, :2], axis=1))
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    spread = np.hypot(
        np.linalg.norm(points[:, 1] - points[:, 0], axis=1), np.linalg.norm(mouth - eyes, axis=1)
    )
    seen = torch.from_numpy(np.stack([points[:, 0], points[:, 1], mouth], axis=1))
    roll = np.array([roll_of_face(*face) for face in seen])
    roll_error = np.array([crop.angle for crop in crops]) - roll
    angle = roll + roll_error.mean()
    across = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    down = np.stack([-np.sin(angle), np.cos(angle)], axis=1)
    centre, size = (
        np.array([crop.centre for crop in crops]),
        np.array([crop.side for crop in crops]) / FACE_MARGIN,
    )
    inner, nose = (eyes + mouth) / 2 - middle, points[:, 2] - middle

    def fit(target: np.ndarray, *terms: np.ndarray) -> np.ndarray:
        """Least squares in units of the box's size."""
        return np.linalg.lstsq(np.stack(terms, axis=1) / extent[:, None], target / extent, rcond=None)[0]

    def dot(vectors: np.ndarray, axis: np.ndarray) -> np.ndarray:
        return (vectors * axis).sum(1)

    print(f"{len(found)} photos")
    degrees = np.degrees(roll_error)
    print(f"DETECTION_ROLL {degrees.mean():.2f} degrees, spread {degrees.std():.2f}")
    print("DETECTION_X", fit(dot(centre - middle, across), dot(inner, across), dot(nose, across)).round(3))
    print("DETECTION_Y", fit(dot(centre - middle, down), dot(inner, down), extent).round(3))
    print("DETECTION_SIZE", fit(size, spread, extent).round(3))


if __name__ == "__main__":
    main()
