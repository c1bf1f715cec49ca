"""JupyterLab as ``make lab`` opens it: the notebooks' folder, at the page that says where to begin.

A token is asked for, as always; root may start it too, who is the only user in many containers.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

from spotify_mlops.config import paths

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - Jupyter's own

# ``!spotify-mlops status`` in a cell is the command of this environment.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

c.ServerApp.allow_root = True
c.ServerApp.root_dir = str(paths.root() / "notebooks")
c.LabApp.default_url = "/lab/tree/INICIO.md"
# Defaults that a user's own settings override: pages are shown, and nobody is asked for news.
c.LabApp.app_settings_dir = str(Path(__file__).resolve().parent / "settings")

if os.environ.get("CODESPACES") == "true":
    # The browser is at the address that GitHub gives the port, the server at localhost: of all
    # other sites, a page of this codespace alone may talk to a kernel.
    name, domain = (
        re.escape(os.environ[variable])
        for variable in ("CODESPACE_NAME", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    )
    c.ServerApp.allow_origin_pat = rf"https://{name}-\d+\.{domain}"
