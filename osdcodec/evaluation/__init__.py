"""Measures the codec: metrics over whole files, curves, other codecs beside osdc, a report. Needs torch and the extra `eval`."""

import os
import tempfile
from pathlib import Path

from .. import cache

# matplotlib keeps its list of fonts in the user's home else, where osdc leaves nothing outside a folder of its own.
os.environ.setdefault("MPLCONFIGDIR", str((cache.folder() or Path(tempfile.gettempdir())) / "matplotlib"))
