"""From triangles to pictures: rasterising, interpolating and shading, all differentiable."""

from portrait3d.rendering.fragments import Fragments
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.shading import shade, spherical_harmonics

__all__ = ["Fragments", "interpolate", "rasterize", "shade", "spherical_harmonics"]
