"""Has moved: `python -m osdcodec.checks.conformance`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.conformance", run_name="__main__", alter_sys=True)
