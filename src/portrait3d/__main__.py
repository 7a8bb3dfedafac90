"""`python -m portrait3d` does the same as the `portrait3d` command."""

from portrait3d.cli import app

if __name__ == "__main__":
    app(prog_name="portrait3d")
