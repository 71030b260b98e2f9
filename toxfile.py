"""Lets tox, which loads this file, find all Pythons of pyenv. By itself it finds only those that are pyenv's current ones.

They come last on the PATH. Python 3.11.0 is left out, as in pyproject.toml.
"""

import os
import re
from pathlib import Path

versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
fitting = [path for path in sorted(versions.glob("3.1*")) if re.fullmatch(r"3\.(11\.[1-9]|1[2-9]\.)\d*", path.name)]
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *(str(path / "bin") for path in fitting)])
