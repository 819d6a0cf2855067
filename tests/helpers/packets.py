"""The vectors of packets, and the file that they carry."""

import json

from osdcodec.checks.conformance import VECTORS

FOLDER = VECTORS / "packets"
LISTED = json.loads((FOLDER / "packets.json").read_text("utf-8"))
FILE = (VECTORS / LISTED["file"]).read_bytes()
