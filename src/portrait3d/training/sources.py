"""Where training pictures come from: counts, licences and what shows them, for model cards."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from portrait3d.data.photos.labelled import GENERATED
from portrait3d.data.photos.shards import Place

EVIDENCE = {
    "jforms/images": "the repository's CC0 dedication; portraits of members of the US Congress",
    "CivilServiceUSA/us-house": "the repository's LICENSE",
    "CivilServiceUSA/us-senate": "the repository's LICENSE",
    "CivilServiceUSA/us-governors": "the repository's LICENSE",
    "voteview/member_photos": "no licence file; official photographs, mostly works of the US government",
    "presidential-innovation-fellows/pif-website": "the repository's LICENSE.md",
    "18F/18f.gsa.gov": "the repository's LICENSE.md",
    "KwaiVGI/LivePortrait": "the repository's LICENSE",
    "HelloVision/HelloMeme": "the repository's LICENSE",
    "OpenTalker/SadTalker": "the repository's LICENSE",
    "OpenTalker/video-retalking": "the repository's LICENSE",
    "bytedance/LatentSync": "the repository's LICENSE",
    "drawn/avatars": "VALID's LICENSE (MIT), notice below; drawn by `data.parsing.scenes`",
    "drawn/hairstyles": "MakeHuman's hairstyles, CC0 by their headers, on this project's head model",
    "drawn/synthetic": "this project's own code and head model (made from CC0 data)",
}
"""What shows the licence of each source."""


def sources(indexes: Iterable[Place], only: set[str] | None = None) -> list[dict[str, Any]]:
    """Training pictures that tables name, by source: how many, under which licence, and what shows it.

    The most frequent source comes first; people who don't exist are left out.

    Args:
        indexes: Tables with columns `id`, `licence`, `split` and perhaps `source`.
        only: The ids that count; by default all.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for index in indexes:
        with index.open(newline="") as file:
            for row in csv.DictReader(file):
                taken = only is None or row["id"] in only
                if taken and row["split"] == "train" and not row["id"].startswith(GENERATED):
                    counts[_source(row, index.parent.name), row["licence"]] += 1
    return [
        {"source": source, "pictures": count, "licence": licence, "evidence": EVIDENCE.get(source, "-")}
        for (source, licence), count in counts.most_common()
    ]


def _source(row: Mapping[str, str], folder: str) -> str:
    """The name that cards give: of a user's own photos their folder's, not where it lies."""
    source = row.get("source") or folder
    if source == "drawn":
        return f"drawn/{folder}"
    return source if source in EVIDENCE else Path(source).name


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Records as a Markdown table, their keys as its head."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
