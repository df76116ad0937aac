"""rasterio, which comes with an extra."""

from __future__ import annotations

from typing import Any

from everywindow.errors import DependencyError


def rasterio_for(what: str) -> Any:
    """The library.

    Raises:
        DependencyError: it is not installed, or broken.
    """
    try:
        import rasterio
        import rasterio.features
        import rasterio.shutil
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "rasterio"
        why = f"not installed, and {what} needs it" if absent else f"cannot be imported ({error})"
        raise DependencyError("rasterio", why, "pip install 'everywindow[geo]'") from error
    return rasterio
