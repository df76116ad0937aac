"""Build the site in all its languages: ``python -m docs.making [FOLDER]``. Warnings are errors."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.making.hooks import ROOT


def main(folder: Path) -> None:
    """The English site into the folder, the Chinese one into ``zh`` in it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    if (ROOT / "docs" / "zh" / "README.md").exists():
        build(load_config(str(ROOT / "mkdocs.zh.yml"), site_dir=str(folder / "zh"), strict=True))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site").resolve())
