"""Has moved: `python -m osdcodec.checks.batch`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.batch", run_name="__main__", alter_sys=True)
