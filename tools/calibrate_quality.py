"""Fit the constants of portrait3d.models.fit_quality, and print how well quality tells bad fits.

python tools/calibrate_quality.py DATA [--models DIR] [--every 4] [--synthetic 100 --cache DIR]

DATA is a folder of labelled photos (src/portrait3d/data/photos/labelled.py); its validation split is used
as it is, with faces covered, cut off, darkened or coarsened, with faces of 18 to 60 pixels, and with veils
and scarves about the head, which tear its parsing; faces that the detector misses are left out. Synthetic
faces add large poses.

The constants of the landmarks' error are fitted to two thirds of the photos, and everything is reported for
the last third. For the signs of torn heads, whose landmarks may be right, it prints what plain
photos show, which should cost nothing.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.stats import spearmanr

from portrait3d import NoFaceError, Portrait3D
from portrait3d.data.face.crops import STORED_MARGIN, STORED_SIZE
from portrait3d.data.face.synthetic import load_or_draw
from portrait3d.data.photos.labelled import LabelledPhoto, people_photos
from portrait3d.evaluation.face.drawn import detector_crops
from portrait3d.evaluation.face.people import ranking_area
from portrait3d.evaluation.face.predictions import extent, normalised_error
from portrait3d.models import fit_quality
from portrait3d.models.face_fit import fit_face
from portrait3d.models.head_parsing import parse_head
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import FACE_SIZE, Crop, crop_from_detection

BAD = 2.5
"""Percent of face size beyond which a fit is bad."""


def main() -> None:
    """Measure the signs, fit their powers, print constants and scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--every", type=int, default=4, help="use every n-th photo")
    parser.add_argument("--synthetic", type=int, default=100, help="number of synthetic faces")
    parser.add_argument("--cache", type=Path, help="where synthetic faces are kept")
    arguments = parser.parse_args()
    model = Portrait3D.from_pretrained(arguments.models)
    photos = people_photos(arguments.data, split="val")[:: arguments.every]
    found = []
    for k, photo in enumerate(photos):
        random = np.random.default_rng(k)
        other = photos[random.integers(len(photos))].pixels()
        small, scale = reduced(photo, random)
        pictures = {
            "plain": (photo.pixels(), 1.0),
            "spoilt": (spoil(photo, other, random), 1.0),
            "small": (small, scale),
            "veil": (veiled(photo, random), 1.0),
            "scarf": (wrapped(photo, random), 1.0),
        }
        for kind, (pixels, scale) in pictures.items():
            crop = detected(model, photo.name, photo.landmarks * scale, pixels)
            if crop is not None:
                measured = measure(model, pixels, crop, photo.landmarks * scale)
                found.append((kind, k % 3 == 2, *measured))
    if arguments.synthetic:
        with tempfile.TemporaryDirectory() as directory:
            faces = load_or_draw(arguments.cache or Path(directory), arguments.synthetic, split="val")
            points = MeshPoints.from_head_model(model.head_model)
            labels = faces.labels(points, model.face_net.mesh_slide).landmarks
            for k, (pixels, crop) in enumerate(zip(faces.images, detector_crops(len(faces)), strict=True)):
                truth = (labels[k] / FACE_SIZE - 0.5) * STORED_SIZE / STORED_MARGIN + STORED_SIZE / 2
                found.append(("synthetic", k % 3 == 2, *measure(model, np.array(pixels), crop, truth)))
    kinds = np.array([kind for kind, *_ in found])
    held = np.array([held for _, held, *_ in found])
    signs = [signs for *_, signs, _ in found]
    error = np.array([error for *_, error in found])
    design = np.array([[1.0, *one.features()] for one in signs])
    used = ~held & np.isin(kinds, ("plain", "spoilt", "synthetic"))
    base, *weights = np.linalg.lstsq(design[used], np.log(error[used]), rcond=None)[0]
    print(f"BASE = {base:.2f}")
    print(f"WEIGHTS = ({', '.join(f'{weight:.2f}' for weight in weights)})")
    plain = [one for one, kind in zip(signs, kinds, strict=True) if kind == "plain"]
    for name in ("lost", "ragged"):
        usual = np.percentile([getattr(one, name) for one in plain], (95, 98))
        print(f"{name} of plain photos: {usual[0]:.3f}, {usual[1]:.3f} (percentiles 95, 98)")
    expected = np.array([one.expected_error for one in signs])
    report("shipped, held back", expected[held], error[held], kinds[held])
    fitted = np.exp(design @ np.array([base, *weights]))
    report("fitted, held back", fitted[held], error[held], kinds[held])


def report(title: str, expected: np.ndarray, error: np.ndarray, kinds: np.ndarray) -> None:
    """Print rank correlation, areas under the curve, rates at the threshold, and what was promised."""
    warned, bad = 1 / np.maximum(expected, 1) < fit_quality.LEAST_QUALITY, error > BAD
    print(f"{title}:")
    for kind in ("all", *dict.fromkeys(kinds.tolist())):
        own = (kinds == kind) | (kind == "all")
        rank = spearmanr(expected[own], error[own]).statistic
        print(
            f"  {kind}: {own.sum()} fits, {bad[own].sum()} worse than {BAD} %; rank correlation {rank:.3f}, "
            f"area under the curve {ranking_area(expected[own], bad[own]):.3f}; warned: {rate(warned[own])}, "
            f"{rate(warned[own & bad])} of the bad, {rate(warned[own & ~bad])} of the others"
        )
        spread = np.percentile(1 / np.maximum(expected[own], 1), (5, 25, 50, 75, 95))
        print("    quality at 5, 25, 50, 75, 95 %: " + ", ".join(f"{value:.2f}" for value in spread))
    for low, high in ((0, 1.2), (1.2, 2), (2, 4), (4, 100)):
        own = (expected >= low) & (expected < high)
        if own.any():
            print(f"  expected {low} to {high} %: {own.sum()} fits, median {np.median(error[own]):.2f} %")


def rate(flags: np.ndarray) -> str:
    """A share in percent."""
    return f"{100 * flags.mean():.0f} %" if len(flags) else "none"


def detected(
    model: Portrait3D, name: str, landmarks: Float[np.ndarray, "68 2"], pixels: UInt8[np.ndarray, "H W 3"]
) -> Crop | None:
    """The crop of the detection that is nearest to the labels; None if there is none near them."""
    try:
        faces = model.detector.detect(pixels, name)
    except NoFaceError:
        return None
    middle = (landmarks.min(0) + landmarks.max(0)) / 2
    size = extent(landmarks[None])[0]
    offsets = [np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - middle) / size for face in faces]
    nearest = int(np.argmin(offsets))
    return crop_from_detection(faces[nearest]) if offsets[nearest] < 0.5 else None


@torch.inference_mode()
def measure(
    model: Portrait3D, pixels: UInt8[np.ndarray, "H W 3"], crop: Crop, truth: Float[np.ndarray, "68 2"]
) -> tuple[fit_quality.FitSigns, float]:
    """The signs of a fit that starts from a crop, and the landmarks' error in percent."""
    fit = fit_face(model.face_net, model.head_model, pixels, crop)
    head_crop = fit.crop.head_crop()
    parsing = parse_head(model.parsing_net, pixels, head_crop)
    signs = fit_quality.FitSigns.of(fit, head_crop, parsing, model.head_model)
    return signs, float(normalised_error(fit.landmarks.numpy()[None], truth[None])[0])


def spoil(
    photo: LabelledPhoto, other: UInt8[np.ndarray, "_ _ 3"], random: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """A photo whose face is covered from one side, cut off, dark or coarse."""
    pixels = photo.pixels()
    height, width = pixels.shape[:2]
    low, high = photo.landmarks.min(0), photo.landmarks.max(0)
    size = high - low
    kind = random.choice(["plain", "picture", "skin", "cut", "dark", "coarse"])
    if kind == "dark":
        noise = random.normal(0, 14, pixels.shape)
        return np.clip(pixels * random.uniform(0.1, 0.25) + noise, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if kind == "coarse":
        across = random.uniform(14, 26) / np.sqrt(size.prod())
        small = image.resize(
            (max(1, round(across * width)), max(1, round(across * height))), Image.Resampling.BOX
        )
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    y, x = np.mgrid[:height, :width]
    share, side = random.uniform(0.25, 0.6), random.integers(4)
    place = np.stack([(x - low[0]) / size[0], (y - low[1]) / size[1]])
    depth = (place[0], 1 - place[0], place[1], 1 - place[1])[side]
    if kind == "cut":
        return np.where((depth < 0.75 * share)[..., None], 0, pixels).astype(np.uint8)
    along = place[1 - side // 2]
    wavy = share + 0.05 * np.sin(8 * along + random.uniform(0, 6))
    covers = (depth < wavy) & (depth > -0.2) & (along > -0.2) & (along < 1.2)
    nose = np.clip(photo.landmarks[30].astype(int), 0, [width - 1, height - 1])
    cover = {
        "plain": np.broadcast_to(random.integers(0, 256, 3), pixels.shape),
        "picture": np.asarray(Image.fromarray(other).resize((width, height))),
        "skin": np.clip(pixels[nose[1], nose[0]] + random.normal(0, 8, pixels.shape), 0, 255),
    }[str(kind)]
    return np.where(covers[..., None], cover, pixels).astype(np.uint8)


def reduced(photo: LabelledPhoto, random: np.random.Generator) -> tuple[UInt8[np.ndarray, "h w 3"], float]:
    """A photo whose face is 18 to 60 pixels large, as in a picture of many people, and its scale."""
    scale = random.uniform(18, 60) / extent(photo.landmarks[None])[0]
    image = Image.fromarray(photo.pixels())
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS)), float(scale)


def veiled(photo: LabelledPhoto, random: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """A photo with see-through cloth about the face, over hair, neck and what lies behind them."""
    x, y = about_face(photo)
    wavy = 0.1 * (noise(x.shape, 8, random) - 0.5)
    size = random.uniform(0.8, 1.15)
    beside_face = (x / (0.52 * size)) ** 2 + ((y + 0.12) / (0.72 * size)) ** 2 - 1 + wavy
    reach = (x / 1.25) ** 2 + ((y - 0.1) / 1.5) ** 2 + wavy < 1
    hangs = (y > 0.6) & (np.abs(x) < 1.3)
    alpha = random.uniform(0.45, 1.0) * np.clip(6 * beside_face, 0, 1) * (reach | hangs)
    return with_cloth(photo.pixels(), alpha, random)


def wrapped(photo: LabelledPhoto, random: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
    """A photo with a scarf over the chin, up to the mouth or the nose."""
    x, y = about_face(photo)
    wavy = 0.12 * (noise(x.shape, 6, random) - 0.5)
    top = random.uniform(0.12, 0.48) - 0.25 * x**2
    return with_cloth(photo.pixels(), ((y + wavy > top) & (np.abs(x) < 1.4)).astype(float), random)


def about_face(photo: LabelledPhoto) -> Float[np.ndarray, "2 H W"]:
    """Where each pixel lies from the middle of the face, in sizes of the face."""
    height, width = photo.pixels().shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    middle = (photo.landmarks.min(0) + photo.landmarks.max(0)) / 2
    return np.stack([x - middle[0], y - middle[1]]) / extent(photo.landmarks[None])[0]


def with_cloth(
    pixels: UInt8[np.ndarray, "H W 3"], alpha: Float[np.ndarray, "H W"], random: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture behind cloth of one colour with folds."""
    folds = 0.5 * noise(alpha.shape, 6, random) + 0.3 * noise(alpha.shape, 24, random)
    grain = 0.12 * random.random(alpha.shape)
    cloth = np.clip(random.uniform(20, 235, 3) * (0.65 + 0.6 * (folds + grain))[..., None], 0, 255)
    return (pixels + alpha[..., None] * (cloth - pixels)).astype(np.uint8)


def noise(shape: tuple[int, ...], cells: int, random: np.random.Generator) -> Float[np.ndarray, "H W"]:
    """Smooth noise in [0, 1] with so many cells along a side."""
    grid = Image.fromarray((255 * random.random((cells, cells))).astype(np.uint8))
    return np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) / 255


if __name__ == "__main__":
    main()
