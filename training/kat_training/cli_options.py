"""What options of several `kat train` commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

FOLDER: Final = click.Path(file_okay=False, path_type=Path)
FOLDER_THERE: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE_THERE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
COUNT: Final = click.IntRange(min=1)
ABOVE_ZERO: Final = click.FloatRange(min=0, min_open=True)
SHARE: Final = click.FloatRange(0, 1)
BASE: Final = click.option(
    "--base", default="default", show_default=True, help="What it starts from: `default`, a folder, a name on the Hub."
)
MODELS_DIR: Final = click.option(
    "--models-dir", type=FOLDER, help="Where the default model is kept. [default: ~/.kat/models]"
)
