"""Has moved: `python -m osdcodec.release.embed`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.release.embed", run_name="__main__", alter_sys=True)
