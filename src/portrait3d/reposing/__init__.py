"""The photo with the head turned: move the head's layers, draw them at full resolution, keep the rest."""

from portrait3d.reposing.reposer import CoarseTurn, Reposer, reduced

__all__ = ["CoarseTurn", "Reposer", "reduced"]
