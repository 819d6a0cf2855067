"""Has moved: `python -m osdcodec.checks.fuzz`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.fuzz", run_name="__main__", alter_sys=True)
