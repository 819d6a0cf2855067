"""Has moved: `python -m osdcodec.training.study.measure`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.training.study.measure", run_name="__main__", alter_sys=True)
