"""The best file of so many bytes, and the smallest one that is similar enough:  python examples/size_target.py [PICTURE]"""

import sys
from pathlib import Path

from osdcodec import Encoder, InputError, Target, TargetError, info

picture = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("chelsea.png")
encoder = Encoder()  # keeps the model loaded

for target in (Target(bpp=0.1), Target(max_bytes=3000), Target(max_bytes=100), Target(ms_ssim=0.8)):
    try:
        told = info(encoder.encode(picture, target=target))
    except (TargetError, InputError) as error:  # no quality is that small; or the picture is too small for MS-SSIM
        print(f"{target}: {error}")
    else:
        print(f"{target}: {told['bytes']} bytes, {told['bpp']:.4f} bits per pixel, lambda {told['lambda']:.2f}")
