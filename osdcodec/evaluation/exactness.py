"""Has moved: `python -m osdcodec.checks.exactness`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.exactness", run_name="__main__", alter_sys=True)
