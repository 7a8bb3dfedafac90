"""Training of the face network on photos that the head model was fitted to (paper, stage 1)."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from portrait3d.data.appearance import load_or_explain
from portrait3d.data.face_crops import FaceBatch, FaceCrops, store_crops
from portrait3d.data.fits import load_or_fit
from portrait3d.data.photos import LANDMARKS_OF_MESH, PhotoFolder
from portrait3d.data.turned_faces import load_or_turn
from portrait3d.evaluation.face import normalised_error, predict_faces
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.mesh import vertex_normals
from portrait3d.geometry.pose import Pose
from portrait3d.losses.face import (
    emphasised_landmarks,
    landmark_loss,
    photometric_loss,
    rotation_loss,
    shape_loss,
    standardised_loss,
)
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet, FaceOutput
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints, learn_slide, mirror_pairs, slide_offsets
from portrait3d.preprocessing.alignment import FACE_FOCAL, FACE_SIZE
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade
from portrait3d.training.loop import LoopConfig, TrainingLoop

SKIN_NOISE = 0.12
"""Colour difference (RGB in [0, 1]) from the fitted face beyond which a pixel is not skin."""


@dataclass(frozen=True, kw_only=True)
class FaceTrainingConfig:
    """Everything that a training of the face network depends on."""

    loop: LoopConfig
    data: Path
    """Root of the labelled photos (--data)."""
    cache: Path | None = None
    """Where fits and crops are kept between runs (1.6 GB for ten thousand photos); by default OUT/cache."""
    research: bool = True
    """Use the research-only folders too, which makes the weights non-commercial research only."""
    working_size: int = 128
    """Pixels that the network works at."""
    batch: int = 32
    rate: float = 1e-3
    weight_decay: float = 0.02
    emphasis: float = 2.0
    """Weight of nose and inner mouth among the 68 landmarks; Deng et al. have 20 for squared distances."""
    landmarks: float = 0.6
    """Weight of the 68 landmarks (percent of face size)."""
    mesh_points: float = 0.4
    """Weight of the 468 mesh points (percent of face size)."""
    shape: float = 0.4
    """Weight of the distance to the fitted shape (mm)."""
    coefficients: float = 0.4
    """Weight of the standardised identity and expression coefficients."""
    rotation: float = 0.15
    """Weight of the rotation (degrees)."""
    depth: float = 0.05
    """Weight of the distance from the camera (percent)."""
    appearance: float = 0.2
    """Weight of the standardised albedo and lighting coefficients, where they are known."""
    turned_share: float = 0.125
    """Share of every batch that shows photographed faces turned by up to 60 degrees."""
    turned_count: int = 3000
    """How many such pictures are rendered before training."""
    photometric: float = 5.0
    """Weight of the photometric loss, Eq. 2, in the last part of the training."""
    photometric_from: float = 0.66
    """The progress (0 to 1) from which on faces are rendered."""
    photometric_samples: int = 8
    """How many faces of a batch are rendered."""
    photometric_size: int = 96
    """Pixels of the rendered crops."""


class FaceLoss:
    """Distance of the network's output from fits, landmarks and, late in the training, photos.

    Args:
        config: The terms' weights.
        head: The head model.
        net: Its buffers hold the spread of the training targets.
    """

    def __init__(self, config: FaceTrainingConfig, head: HeadModel, net: FaceNet) -> None:
        self.config, self.head, self.net = config, head, net
        self.points = MeshPoints.from_head_model(head)
        self.emphasis = emphasised_landmarks(config.emphasis)
        inside = head.face_mask[head.skin_faces].amin(1) > 0.5
        self.face_triangles = head.skin_faces[inside]

    def __call__(self, output: FaceOutput, batch: FaceBatch, progress: float) -> dict[str, Tensor]:
        """Every term's mean over the batch, and their weighted sum as "total"."""
        config, net, pose = self.config, self.net, output.camera_from_model
        truth = torch.cat([batch.coefficients.identity, batch.coefficients.expression], dim=1)
        shape = self.points(output.shape)
        moved = pose.apply(shape)
        pixels = FACE_SIZE / 2 + FACE_FOCAL * moved[..., :2] / moved[..., 2:].clamp_min(50.0)
        pixels = pixels + slide_offsets(net.mesh_slide, pose, FACE_FOCAL)
        # Fits to 68 points say less about the shape than fits to 468.
        trust = torch.where(batch.points.isnan().any(2).any(1), 0.5, 1.0)
        depths = pose.translation[:, 2].clamp_min(50.0) / batch.pose.translation[:, 2]
        terms = {
            "landmarks": landmark_loss(
                pixels[:, LANDMARKS_OF_MESH], batch.points[:, LANDMARKS_OF_MESH], batch.extent, self.emphasis
            ).mean(),
            "mesh_points": landmark_loss(pixels, batch.points, batch.extent).mean(),
            "shape": (trust * shape_loss(shape, self.points(truth))).mean(),
            "coefficients": (trust * standardised_loss(output.shape, truth, net.shape_scale)).mean(),
            "rotation": rotation_loss(pose.rotation, batch.pose.rotation).mean(),
            "depth": (100 * depths.log().abs()).mean(),
        }
        known = batch.has_appearance.nonzero()[:, 0]
        if len(known):
            ours, given = output.coefficients, batch.coefficients
            terms["appearance"] = (
                standardised_loss(ours.albedo[known], given.albedo[known], net.albedo_scale)
                + standardised_loss(ours.lighting[known], given.lighting[known], net.lighting_scale)
            ).mean()
            if progress > config.photometric_from:
                terms["photometric"] = self.photometric(output, batch, known[: config.photometric_samples])
        total = torch.stack([getattr(config, name) * value for name, value in terms.items()]).sum()
        return {**terms, "total": total}

    def photometric(self, output: FaceOutput, batch: FaceBatch, rows: Tensor) -> Float[Tensor, ""]:
        """Eq. 2 for some rows; skin is where the fitted colours explain the photo."""
        size = self.config.photometric_size
        coefficients = FaceCoefficients.from_vector(output.coefficients.to_vector()[rows])
        fitted = FaceCoefficients.from_vector(batch.coefficients.to_vector()[rows])
        pose = output.camera_from_model
        points = Pose(pose.rotation[rows], pose.translation[rows]).apply(self.head.vertices(coefficients))
        normals = vertex_normals(points, self.head.skin_faces)
        colours = shade(self.head.albedo(coefficients), normals, coefficients.lighting)
        expected = shade(self.head.albedo(fitted), normals.detach(), fitted.lighting)
        camera = Camera(torch.tensor(FACE_FOCAL), torch.full((2,), FACE_SIZE / 2), FACE_SIZE, FACE_SIZE)
        screen = camera.resized(size, size).screen(points)
        fragments = rasterize(screen, self.face_triangles, size, size, cull_backfaces=True)
        seen = interpolate(torch.cat([colours, expected], dim=-1), self.face_triangles, fragments)
        rendered, expected = seen[:, :3], seen[:, 3:].detach()
        photo = F.interpolate(batch.images[rows], (size, size), mode="bilinear", antialias=True)
        misfit = (photo - expected).square().sum(1, keepdim=True)
        attention = (fragments.face_index >= 0)[:, None] / (1 + misfit / SKIN_NOISE**2)
        return photometric_loss(rendered, photo, attention).mean()


def train_face(config: FaceTrainingConfig) -> Path:
    """Train the face network, going on where an earlier start with the same directory stopped.

    Fits, crops and checkpoints are kept, so a second start costs seconds. Returns the run's directory, which
    holds the network with the best validation error as `best.safetensors`.
    """
    head = HeadModel.load()
    points = MeshPoints.from_head_model(head)
    photos = PhotoFolder(config.data, research=config.research)
    cache = config.cache or config.loop.out / "cache"
    fits = load_or_fit(photos, points, cache)
    images = store_crops(photos, fits, cache)
    crops = FaceCrops(fits, images, head, load_or_explain(fits, images, head, cache))
    training = np.flatnonzero(~fits.validation)
    validation = [photo for photo in photos if photo.split == "val"]
    folders = np.array([photo.folder for photo in validation])
    truth = np.stack([photo.landmarks for photo in validation])

    torch.manual_seed(config.loop.seed)
    net = FaceNet(config.working_size)
    net.load_imagenet()
    net = net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    statistics = target_statistics(crops, training)
    net.load_state_dict(statistics, strict=False)
    loss = FaceLoss(config, head, net)

    def evaluate(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, FaceNet)
        errors = normalised_error(predict_faces(module, head, validation, passes=1).landmarks, truth)
        scores = {str(name): float(errors[folders == name].mean()) for name in np.unique(folders)}
        return {"score": -float(errors.mean()), "nme": float(errors.mean()), **scores}

    turned = FaceCrops(*load_or_turn(fits, images, head, config.turned_count, cache), head)
    few = round(config.turned_share * config.batch)

    loop = TrainingLoop(
        config.loop,
        {"net": net},
        {"net": face_optimizer(net, config)},
        averaged="net",
        evaluate=evaluate,
        settings={**asdict(config), "loop": None, "cache": None},
    )
    # Colours may have been explained only after an earlier start.
    for module in (net, loop.averaged):
        module.load_state_dict(statistics, strict=False)
    for step in loop:
        random = np.random.default_rng([config.loop.seed, step])
        rows = epoch_rows(training, step, config.batch - few, config.loop.seed)
        batch = crops.batch(rows, config.working_size, random)
        if few:
            rows = epoch_rows(np.arange(len(turned)), step, few, config.loop.seed)
            batch = batch.joined(turned.batch(rows, config.working_size, random))
        losses = loss(net(batch.images), batch, loop.progress)
        loop.update("net", losses["total"])
        loop.log(losses)
    return config.loop.out


def epoch_rows(rows: np.ndarray, step: int, size: int, seed: int) -> np.ndarray:
    """The rows of one step: every epoch is a fresh permutation, and step alone decides."""
    steps = max(len(rows) // size, 1)
    epoch, place = divmod(step, steps)
    order = np.random.default_rng([seed, 1_000_000 + epoch]).permutation(rows)
    return order[place * size : (place + 1) * size]


def face_optimizer(net: FaceNet, config: FaceTrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays weights, not biases and norms."""
    weights = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.99))


def target_statistics(crops: FaceCrops, rows: np.ndarray) -> dict[str, Tensor]:
    """What the network's buffers hold: means and deviations of the training targets, and the sliding."""
    vector = crops.coefficients[rows]
    shape, translation = vector[:, :144], crops.pose.translation[rows]
    place = (translation[:, :2] / translation[:, 2:] * FACE_FOCAL).mean(0)
    statistics = {
        "shape_mean": shape.mean(0),
        "shape_scale": shape.std(0).clamp_min(0.03),
        "place_mean": torch.cat([place, translation[:, 2:].log().mean(0).exp()]),
        "mesh_slide": torch.from_numpy(crops.fits.slide),
        "slide": landmark_slide(crops, rows),
    }
    known = vector[crops.has_appearance[rows]]
    if len(known) > 1:
        for name, part in (("albedo", slice(144, 224)), ("lighting", slice(224, None))):
            statistics[f"{name}_mean"] = known[:, part].mean(0)
            statistics[f"{name}_scale"] = known[:, part].std(0).clamp_min(0.03)
    return statistics


@torch.no_grad()
def landmark_slide(crops: FaceCrops, rows: np.ndarray) -> Float[Tensor, "7 68 2"]:
    """Where detectors' 68 landmarks lie off the model's own: the jaw slides, others are off a little."""
    head, pose = crops.head, Pose(crops.pose.rotation[rows], crops.pose.translation[rows])
    vectors = crops.coefficients[rows].split(256)
    points = torch.cat(
        [head.landmarks(head.vertices(FaceCoefficients.from_vector(part))) for part in vectors]
    )
    camera = pose.apply(points)
    pixels = FACE_SIZE / 2 + FACE_FOCAL * camera[..., :2] / camera[..., 2:]
    pairs = mirror_pairs(head.landmarks(head.mean[None])[0])
    offsets = crops.points[rows][:, LANDMARKS_OF_MESH] - pixels
    return learn_slide(offsets, pose, FACE_FOCAL, pairs, torch.ones(68, dtype=torch.bool))
