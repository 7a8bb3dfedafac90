"""A folder of labelled photos that is small enough to train on in a test."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from portrait3d.data.face.fits import project_points
from portrait3d.data.face.turned import centred_pose
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints


def photo_folder(root: Path, head: HeadModel) -> Path:
    """Six pictures of noise with the mesh points of random heads, two of them for validation."""
    folder = root / "portraits"
    (folder / "images").mkdir(parents=True)
    points, shape = MeshPoints.from_head_model(head), 0.5 * torch.randn(6, 144)
    shape[:, 80:] = 0
    slide = torch.zeros(7, 468, 2)
    pose = centred_pose(points, shape, torch.eye(3).expand(6, 3, 3), slide)
    pixels = project_points(points, shape, pose, slide).numpy() * 0.8 + 5
    rows = ["id,source,original,licence,width,height,person,split,yaw,pitch,roll"]
    for k in range(6):
        noise = np.random.default_rng(k).integers(0, 255, (200, 200, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "images" / f"p{k}.jpg")
        rows.append(f"p{k},here,p{k},cc0,200,200,person{k},{'val' if k > 3 else 'train'},0,0,0")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    table = {"points": np.pad(pixels - 0.5, ((0, 0), (0, 0), (0, 1))), "mesh_index": np.arange(468)}
    table["box"] = np.tile(np.array([50, 30, 140, 140, 1], np.float32), (6, 1))
    np.savez(folder / "landmarks.npz", ids=np.array([f"p{k}" for k in range(6)]), **table)
    return root
