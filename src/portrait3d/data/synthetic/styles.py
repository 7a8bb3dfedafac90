"""Hair styles: ranges of lengths, thicknesses and partings that a head's hair is drawn from."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class HairStyle:
    """What the hair of one style may look like. Ranges are uniform; lengths are millimetres."""

    top: Range = (8, 16)
    """Thickness above the skull at the crown."""
    side: Range = (4, 10)
    """Thickness above the ears."""
    back: Range = (6, 14)
    front: Range = (8, 18)
    """Thickness just behind the front hairline."""
    edge: Range = (1, 3)
    """Thickness at the hairline."""
    taper: Range = (10, 25)
    """Distance over which the thickness falls to `edge`."""
    lift: Range = (0, 0)
    """Further thickness at the top of the forehead: a quiff."""
    fringe: Range | None = None
    """Height above the brows at which hair ends on the forehead; None combs it off the forehead."""
    fringe_width: Range = (38, 50)
    """Half the angle that the fringe covers, degrees."""
    part: Range | None = None
    """Azimuth of the parting, degrees to either side; None for hair without one."""
    hang: Range | None = None
    """y (model frame) at which hanging hair ends; None for hair that stays on the skull."""
    opening: Range = (58, 68)
    """Half the angle, degrees, that hanging hair leaves free in front of the cheeks."""
    flare: Range = (0, 8)
    """How much hanging hair widens until it reaches the shoulders."""
    wave: Range = (0, 0)
    """Amplitude of waves along hanging strands."""
    clumps: Range = (0.08, 0.2)
    """Relative variation of the thickness."""
    curl: Range = (0, 0)
    """Amplitude of curls in all directions."""
    recede: Range = (0, 0)
    """How far the hairline lies behind its usual place at the front, mm of height."""
    crown: Range = (0, 0)
    """Polar angle, degrees, of a bald crown."""
    bun: Range | None = None
    """Radius of a bun."""
    bun_polar: Range = (5, 30)
    """Polar angle of the bun, degrees from the crown toward the back."""
    bun_side: Range | None = None
    """Azimuth of two buns, degrees to either side of the front; None for one in the middle."""
    tail: Range | None = None
    """y at which a pony tail ends."""
    beard: Range | None = None
    """Thickness of the beard."""
    bald: bool = False


STYLES_TRAIN: dict[str, HairStyle] = {
    "bald": HairStyle(bald=True),
    "buzz": HairStyle(top=(1, 3), side=(0.5, 2), back=(1, 3), front=(1, 3), edge=(0.3, 0.8), clumps=(0, 0.1)),
    "short": HairStyle(),
    "crop": HairStyle(top=(12, 22), side=(3, 7), front=(12, 24), clumps=(0.15, 0.35), recede=(-4, 8)),
    "quiff": HairStyle(top=(14, 26), side=(3, 8), front=(16, 26), lift=(8, 22), clumps=(0.1, 0.3)),
    "flat_top": HairStyle(top=(28, 60), side=(2, 8), back=(4, 12), front=(22, 48), clumps=(0.05, 0.2)),
    "side_part": HairStyle(top=(12, 22), side=(6, 12), front=(14, 24), part=(25, 45), lift=(0, 8)),
    "short_fringe": HairStyle(top=(12, 22), side=(6, 14), fringe=(8, 30), fringe_width=(38, 52)),
    "receding": HairStyle(top=(3, 8), side=(4, 12), front=(1, 4), recede=(18, 45), clumps=(0.1, 0.3)),
    "rim": HairStyle(top=(0, 2), side=(5, 14), back=(6, 14), front=(0, 1), crown=(50, 62), recede=(60, 80)),
    "beard": HairStyle(top=(6, 14), side=(3, 9), beard=(3, 16)),
    "bald_beard": HairStyle(bald=True, beard=(4, 18)),
    "bob": HairStyle(
        top=(14, 24), side=(16, 26), back=(18, 30), part=(0, 30), hang=(55, 95), edge=(8, 14), flare=(0, 14)
    ),
    "long_straight": HairStyle(
        top=(10, 18), side=(12, 22), back=(12, 24), part=(0, 12), hang=(150, 260), edge=(6, 12)
    ),
    "long_side_part": HairStyle(
        top=(10, 20),
        side=(12, 24),
        back=(12, 24),
        part=(25, 45),
        hang=(100, 240),
        edge=(6, 12),
        flare=(0, 12),
    ),
    "long_fringe": HairStyle(
        top=(12, 20), side=(14, 24), back=(14, 24), fringe=(-2, 12), hang=(140, 260), edge=(6, 10)
    ),
    "long_wavy": HairStyle(
        top=(14, 26),
        side=(18, 32),
        back=(18, 34),
        part=(0, 25),
        hang=(120, 240),
        edge=(8, 14),
        wave=(4, 10),
        flare=(4, 24),
    ),
    "long_curly": HairStyle(
        top=(22, 40),
        side=(28, 48),
        back=(26, 46),
        front=(16, 30),
        part=(0, 20),
        hang=(70, 180),
        edge=(10, 18),
        wave=(3, 7),
        curl=(4, 9),
        clumps=(0.2, 0.35),
        flare=(4, 20),
    ),
    "ponytail": HairStyle(top=(4, 9), side=(3, 6), back=(4, 8), front=(4, 9), tail=(60, 200)),
    "low_bun": HairStyle(
        top=(5, 10), side=(4, 8), back=(4, 8), part=(0, 20), bun=(26, 38), bun_polar=(75, 100)
    ),
    "high_bun": HairStyle(
        top=(5, 10), side=(4, 8), back=(4, 8), front=(5, 12), bun=(24, 40), bun_polar=(24, 50)
    ),
    "two_buns": HairStyle(
        top=(5, 10),
        side=(4, 8),
        back=(4, 8),
        front=(5, 10),
        part=(0, 6),
        bun=(20, 34),
        bun_polar=(20, 42),
        bun_side=(60, 130),
    ),
    "afro": HairStyle(
        top=(35, 70),
        side=(30, 60),
        back=(35, 65),
        front=(25, 50),
        edge=(10, 20),
        curl=(2, 4),
        clumps=(0.02, 0.06),
    ),
    "curls": HairStyle(
        top=(18, 36),
        side=(10, 24),
        back=(14, 28),
        front=(16, 34),
        edge=(4, 8),
        curl=(3, 6),
        clumps=(0.2, 0.35),
    ),
}
"""Styles that networks may learn from."""

STYLES_VALIDATION: dict[str, HairStyle] = {
    "bob_fringe": HairStyle(
        top=(14, 24),
        side=(16, 26),
        back=(18, 30),
        fringe=(-2, 10),
        hang=(60, 100),
        edge=(8, 14),
        flare=(0, 10),
    ),
    "wavy_side_part": HairStyle(
        top=(14, 26),
        side=(16, 28),
        back=(16, 30),
        part=(28, 45),
        hang=(90, 200),
        edge=(8, 14),
        wave=(4, 9),
        flare=(2, 18),
    ),
    "top_bun": HairStyle(
        top=(5, 10), side=(4, 8), back=(4, 8), front=(5, 10), bun=(26, 40), bun_polar=(-8, 12)
    ),
    "swept_back": HairStyle(top=(12, 24), side=(8, 16), front=(10, 22), lift=(2, 12), clumps=(0.05, 0.15)),
}
"""Styles that are kept for measuring: never in training."""
