"""JupyterLab as ``make lab`` opens it: the notebooks' folder, at the page that says where to begin.

A token is asked for, as always; root may start it too, who is the only user in many containers.
"""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter's own

c.ServerApp.allow_root = True
c.ServerApp.root_dir = str(FOLDER.parents[1] / "notebooks")
c.LabApp.default_url = "/lab/tree/INICIO.md"
# Defaults that a user's own settings override: pages are shown, and nobody is asked for news.
c.LabApp.app_settings_dir = str(FOLDER / "settings")
