"""Has moved: `python -m osdcodec.checks.budgets`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("osdcodec.checks.budgets", run_name="__main__", alter_sys=True)
