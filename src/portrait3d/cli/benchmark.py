"""`benchmark`: how long every stage takes."""


def benchmark() -> None:
    """Measure every stage."""
