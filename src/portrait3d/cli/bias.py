"""`evaluate bias`: whether the networks serve all groups of people alike."""

from dataclasses import asdict

from portrait3d.cli.console import Json, Models, working
from portrait3d.cli.evaluation import Data, Limit, require_directory, show_tables

TABLES = {
    "groups": "How do people of every group fare? (percent; quality 0 to 1)",
    "ratios": "What the worst group of ten photos and more lacks, over what the best one does",
}
"""What each table answers."""


def bias(data: Data, models: Models = None, limit: Limit = None, json: Json = False) -> None:
    """Error by age and gender (where the index names them), measured skin tone, grey hair and glasses.

    Landmarks of the face network against the labels', hair and person of the parsing against maps of other
    networks, and the quality that users are warned by. docs/models/bias.md says how skin is measured.
    """
    require_directory(data)
    from portrait3d.evaluation.bias import evaluate_bias
    from portrait3d.pipeline import Portrait3D

    with working("Looking at photos", quiet=json):
        report = evaluate_bias(Portrait3D.from_pretrained(models), data, limit)
    show_tables(TABLES, asdict(report), json=json)
