"""`evaluate face|parsing|depth|refinement|portraits`: numbers and pictures on labelled photos."""

import typer

evaluate = typer.Typer(no_args_is_help=True, help="Measure the networks on labelled photos.")
