"""Which triangle is seen in which pixel: one z-buffer, as a compiled loop and in torch operations.

Both snap vertices to 1/256 pixel and then decide coverage in integers, so neighbouring triangles neither
leave gaps nor cover a pixel twice; a pixel centre exactly on an edge belongs to the triangle whose top or
left edge it is. The nearest triangle wins, by 1 / depth (which is linear in the image) in float32; on a tie,
the lower index.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from portrait3d.compilation import compiled

SUBPIXELS = 256
"""Steps a pixel is divided into, along each axis, when vertices are snapped."""
NEAR = 1e-3
"""Triangles with a vertex nearer than this (mm), or behind the camera, are left out rather than clipped."""
_LIMIT = 65536.0
"""Vertices further out than this many pixels are moved here, so that products fit into int64."""
_EMPTY = torch.iinfo(torch.int64).max


def visible_faces_compiled(
    screen: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], height: int, width: int, cull_backfaces: bool
) -> Int64[Tensor, "B {height} {width}"]:
    """Index of the face seen in every pixel, -1 where there is none; a compiled loop for the CPU."""
    # float32 whatever the input has: both backends must round alike to see the same faces.
    positions = screen.detach().to(torch.float32).contiguous().numpy()
    face_index = np.full((len(positions), height, width), -1, dtype=np.int64)
    snapped = np.empty((positions.shape[1], 2), dtype=np.int64)
    inverse_depth = np.empty(positions.shape[1], dtype=np.float32)
    nearest = np.empty((height, width), dtype=np.float32)
    triangles = faces.contiguous().numpy()
    for positions_of_one, face_index_of_one in zip(positions, face_index, strict=True):
        # 0 is 1 / infinity: the background.
        nearest.fill(0)
        _snap(positions_of_one, snapped, inverse_depth)
        _fill(snapped, inverse_depth, triangles, cull_backfaces, nearest, face_index_of_one)
    return torch.from_numpy(face_index)


@compiled
def _snap(positions, snapped, inverse_depth):
    limit, near = np.float32(_LIMIT), np.float32(NEAR)
    for i in range(positions.shape[0]):
        x, y, depth = positions[i, 0], positions[i, 1], positions[i, 2]
        if depth > near and np.isfinite(x) and np.isfinite(y) and np.isfinite(depth):
            snapped[i, 0] = np.int64(np.rint(min(max(x, -limit), limit) * np.float32(SUBPIXELS)))
            snapped[i, 1] = np.int64(np.rint(min(max(y, -limit), limit) * np.float32(SUBPIXELS)))
            inverse_depth[i] = np.float32(1) / depth
        else:
            snapped[i, 0] = 0
            snapped[i, 1] = 0
            inverse_depth[i] = 0


@compiled
def _fill(snapped, inverse_depth, triangles, cull_backfaces, nearest, face_index):
    height, width = face_index.shape
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        xa, ya, xb, yb, xc, yc = (
            snapped[a, 0],
            snapped[a, 1],
            snapped[b, 0],
            snapped[b, 1],
            snapped[c, 0],
            snapped[c, 1],
        )
        # Rows and columns whose centres, at 256 k + 128, lie inside the bounding box.
        row_first = max((min(ya, min(yb, yc)) + 127) >> 8, 0)
        row_last = min((max(ya, max(yb, yc)) - 128) >> 8, height - 1)
        if row_first > row_last:
            continue
        column_first = max((min(xa, min(xb, xc)) + 127) >> 8, 0)
        column_last = min((max(xa, max(xb, xc)) - 128) >> 8, width - 1)
        if column_first > column_last:
            continue
        area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
        if area == 0 or (cull_backfaces and area > 0):
            continue
        da, db, dc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
        if da == 0 or db == 0 or dc == 0:
            continue
        if area < 0:
            xb, yb, db, xc, yc, dc = xc, yc, dc, xb, yb, db
            area = -area
        # Edge function of the edge opposite each vertex: at least zero inside.
        ux, uy, vx, vy, wx, wy = xc - xb, yc - yb, xa - xc, ya - yc, xb - xa, yb - ya
        # Top-left rule: a centre exactly on an edge that two triangles share is inside only one of them.
        bias_a = 0 if (uy < 0 or (uy == 0 and ux > 0)) else 1
        bias_b = 0 if (vy < 0 or (vy == 0 and vx > 0)) else 1
        bias_c = 0 if (wy < 0 or (wy == 0 and wx > 0)) else 1
        scale = np.float32(1) / np.float32(area)
        x, y = (column_first << 8) + 128, (row_first << 8) + 128
        # Less the biases: no sign bit is set inside.
        first_a = ux * (y - yb) - uy * (x - xb) - bias_a
        first_b = vx * (y - yc) - vy * (x - xc) - bias_b
        first_c = wx * (y - ya) - wy * (x - xa) - bias_c
        for row in range(row_first, row_last + 1):
            ea, eb, ec = first_a, first_b, first_c
            depths, seen = nearest[row], face_index[row]
            for column in range(column_first, column_last + 1):
                # 1 / depth is linear over the picture, so it needs no perspective correction. Outside, too:
                # whether a centre is inside can't be predicted, and this costs less than a wrong guess.
                d = np.float32(ea + bias_a) * da + np.float32(eb + bias_b) * db + np.float32(ec + bias_c) * dc
                d *= scale
                if ((ea | eb | ec) >= 0) & (d > depths[column]):
                    depths[column] = d
                    seen[column] = t
                # One pixel to the right: edge functions are linear, so they are stepped, without rounding.
                ea -= uy << 8
                eb -= vy << 8
                ec -= wy << 8
            # One pixel down.
            first_a += ux << 8
            first_b += vx << 8
            first_c += wx << 8


def visible_faces_torch(
    screen: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], height: int, width: int, cull_backfaces: bool
) -> Int64[Tensor, "B {height} {width}"]:
    """Index of the face seen in every pixel, -1 where there is none; torch operations, for any device."""
    keys = [
        _nearest_keys(positions, faces, height, width, cull_backfaces)
        for positions in screen.detach().to(torch.float32)
    ]
    key = torch.stack(keys) if keys else screen.new_empty((0, height * width), dtype=torch.int64)
    return torch.where(key == _EMPTY, -1, key & 0xFFFFFFFF).view(-1, height, width)


def _nearest_keys(
    positions: Float[Tensor, "V 3"],
    faces: Int64[Tensor, "F 3"],
    height: int,
    width: int,
    cull_backfaces: bool,
) -> Int64[Tensor, " P"]:
    """For every pixel the smallest of (falling 1 / depth, face index), packed into one integer."""
    device = positions.device
    keys = torch.full((height * width,), _EMPTY, dtype=torch.int64, device=device)
    usable = positions.isfinite().all(-1) & (positions[:, 2] > NEAR)
    xy = torch.where(usable[:, None], positions[:, :2], 0).clamp(-_LIMIT, _LIMIT)
    snapped = torch.round(xy * SUBPIXELS).long()
    corners = snapped[faces]
    # From here on as in `_fill`, for all triangles at once.
    first = ((corners.amin(1) + 127) >> 8).clamp_min(0)
    last = torch.minimum((corners.amax(1) - 128) >> 8, torch.tensor([width - 1, height - 1], device=device))
    side = corners[:, 1:] - corners[:, :1]
    area = side[:, 0, 0] * side[:, 1, 1] - side[:, 1, 0] * side[:, 0, 1]
    kept = (last >= first).all(1) & ((area < 0) if cull_backfaces else (area != 0)) & usable[faces].all(1)
    chosen = kept.nonzero().squeeze(1)
    corners, first, area = corners[chosen], first[chosen], area[chosen]
    count = last[chosen] - first + 1
    inverse_depth = positions[:, 2].reciprocal()[faces[chosen]]
    order = torch.where(
        (area < 0)[:, None], torch.tensor([0, 2, 1], device=device), torch.tensor([0, 1, 2], device=device)
    )
    corners = corners.gather(1, order[:, :, None].expand(-1, -1, 2))
    inverse_depth = inverse_depth.gather(1, order)
    scale = area.abs().float().reciprocal()
    # Edge i lies opposite corner i; its function is at least zero inside and grows by `step` from pixel to
    # pixel.
    start = corners.roll(-1, 1)
    edge = corners.roll(-2, 1) - start
    centre = (first * SUBPIXELS + SUBPIXELS // 2)[:, None]
    value = edge[..., 0] * (centre - start)[..., 1] - edge[..., 1] * (centre - start)[..., 0]
    step_x, step_y = -edge[..., 1] * SUBPIXELS, edge[..., 0] * SUBPIXELS
    bias = 1 - ((edge[..., 1] < 0) | ((edge[..., 1] == 0) & (edge[..., 0] > 0))).long()
    pixel = first[:, 1] * width + first[:, 0]
    # Triangles of like size are laid over square blocks of pixels together, in pieces that fit into memory.
    largest = count.amax(1)
    block, done = 1, 0
    while len(chosen) and done < int(largest.max()):
        of_size = ((largest > done) & (largest <= block)).nonzero().squeeze(1)
        offset = torch.arange(block * block, device=device)
        dx, dy = offset % block, offset // block
        for some in torch.split(of_size, max(1, (1 << 20) // (block * block))):
            e = value[some, :, None] + step_x[some, :, None] * dx + step_y[some, :, None] * dy
            inside = (e >= bias[some, :, None]).all(1)
            inside &= (dx < count[some, :1]) & (dy < count[some, 1:])
            triangle, k = inside.nonzero(as_tuple=True)
            # Added up in the order of the compiled loop, to the last bit.
            weight = e[triangle, :, k].float() * inverse_depth[some[triangle]]
            nearness = (weight[:, 0] + weight[:, 1] + weight[:, 2]) * scale[some[triangle]]
            # Bits of positive floats sort as the floats do. With the face below them in one integer, a single
            # minimum finds the nearest face and, on a tie, the lowest.
            far_first = torch.iinfo(torch.int32).max - nearness.contiguous().view(torch.int32).long()
            key = (far_first << 32) | chosen[some[triangle]]
            keys.scatter_reduce_(0, pixel[some[triangle]] + dy[k] * width + dx[k], key, "amin")
        done, block = block, block * 2
    return keys
