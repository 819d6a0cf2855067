"""Has moved: `python -m osdcodec.training.study.ablations`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.training.study.ablations", run_name="__main__", alter_sys=True)
