"""Has moved: `python -m osdcodec.training.study.gpu_needs`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.training.study.gpu_needs", run_name="__main__", alter_sys=True)
