"""Where the real series are that the project does not hold, as an option of the commands that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data"


def option(words: str) -> Callable[[Any], Any]:
    """`--data`, a folder that need not exist; `words` say what has to be in it."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=FOLDER,
        show_default="../shared/data beside the project",
        help=words,
    )
