"""Synthetic heads of people and hair styles that no training sees, whose depth is known exactly."""

import hashlib
import io
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

import portrait3d.data.synthetic as drawing
from portrait3d.data.people.model_views import HeadInCrop, HeadView, SkinModel
from portrait3d.data.synthetic import STYLES_VALIDATION, SyntheticHeads, head_camera
from portrait3d.evaluation.depth.errors import HeadTruth, surface_of
from portrait3d.evaluation.depth.methods import rest_of_head
from portrait3d.evaluation.depth.photos import points_of
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pictures import as_bytes
from portrait3d.parsing_classes import HEAD

SEED = 3
"""Training and its validation draw their heads from other seeds."""


@dataclass(frozen=True, eq=False)
class KnownHead:
    """One picture of a synthetic head in the head crop's camera, with its truth; mm."""

    style: str
    picture: UInt8[np.ndarray, "S S 3"]
    labels: UInt8[np.ndarray, "S S"]
    depth: Float[np.ndarray, "S S"]
    """inf in the background."""
    face_depth: Float[np.ndarray, "S S"]
    """Depth of the bare face whatever lies before it, inf where there is none."""
    identity: Float[np.ndarray, "80"]
    expression: Float[np.ndarray, "64"]
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    """camera_from_model."""

    @property
    def camera(self) -> Camera:
        """The camera that took the picture."""
        return head_camera(len(self.picture))

    @cached_property
    def region(self) -> Bool[np.ndarray, "S S"]:
        """The head, as it is labelled."""
        return np.isin(self.labels, HEAD) & np.isfinite(self.depth)

    def truth(self, skin: SkinModel) -> HeadTruth:
        """What predictions in this picture's own pixels are measured against."""
        view = self.given(skin)
        depth = np.where(self.region, self.depth, np.inf).astype(np.float64)
        points = points_of(depth, view.region, view.head.focal)
        points = np.where(view.region[..., None], points, np.nan)
        return HeadTruth(points, view.bare_face, rest_of_head(view), surface_of(points))

    def given(self, skin: SkinModel) -> HeadView:
        """The picture with the true parsing and the true face."""
        return HeadView(
            image=self.picture,
            labels=self.labels,
            region=self.region,
            face_depth=self.face_depth.astype(np.float64),
            head=HeadInCrop(
                vertices=skin.vertices(self.identity.astype(np.float64), self.expression.astype(np.float64)),
                rotation=self.rotation.astype(np.float64),
                translation=self.translation.astype(np.float64),
                focal=float(self.camera.focal),
                size=len(self.picture),
            ),
        )


def load_or_draw(index: int, cache: Path | None = None, seed: int = SEED) -> KnownHead:
    """Head number `index`, which depends on the index and the seed alone; about 0.7 s to draw.

    Heads are kept below `cache`, in a folder whose name changes when the way they are drawn does.
    """
    if cache is None:
        return draw_head(index, seed)
    path = cache / f"depth-heads-{seed}-{drawing_key()}" / f"{index:05d}.npz"
    if not path.is_file():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **asdict(draw_head(index, seed)))
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(buffer.getvalue())
        unfinished.rename(path)
    with np.load(path, allow_pickle=False) as table:
        values = {name: table[name] for name in table.files}
    return KnownHead(**{**values, "style": str(values["style"])})


def draw_head(index: int, seed: int = SEED) -> KnownHead:
    """Draw a head in one of the validation styles."""
    pair = SyntheticHeads(seed=seed, styles=STYLES_VALIDATION).pair(index)
    view = pair.first
    return KnownHead(
        style=pair.style,
        picture=as_bytes(view.image),
        labels=view.labels.numpy(),
        depth=view.depth.float().numpy(),
        face_depth=view.face_depth.float().numpy(),
        identity=view.coefficients.identity[0].numpy(),
        expression=view.coefficients.expression[0].numpy(),
        rotation=view.camera_from_model.rotation.float().numpy(),
        translation=view.camera_from_model.translation.float().numpy(),
    )


def drawing_key() -> str:
    """Changes when the modules that draw heads do."""
    digest = hashlib.sha256()
    for path in sorted(Path(str(drawing.__file__)).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
