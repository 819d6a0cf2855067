"""Has moved: `python -m osdcodec.training.study.match_rates`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.training.study.match_rates", run_name="__main__", alter_sys=True)
