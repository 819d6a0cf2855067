"""Any program that uses Pillow can read and write .osd files:  python examples/pillow_plugin.py [OUT_FOLDER]"""

import sys
from pathlib import Path

from PIL import Image

import osdcodec.integrations.pillow as osd

out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
osd.register()

with Image.open(Path(__file__).with_name("astronaut.png")) as photo:
    photo.save(out / "astronaut.osd", lmbda=1)

with Image.open(out / "astronaut.osd") as picture:
    print(picture.format, picture.size, picture.info)  # known at once
    picture.resize((64, 64)).save(out / "icon.png")  # decoded only now
