"""Has moved: `python -m osdcodec.checks.prior_price`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.prior_price", run_name="__main__", alter_sys=True)
