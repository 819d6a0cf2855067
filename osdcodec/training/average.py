"""Has moved: `python -m osdcodec.training.study.average`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.training.study.average", run_name="__main__", alter_sys=True)
