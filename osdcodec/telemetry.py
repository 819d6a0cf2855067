"""Switches off the usage reports of the libraries that osdc runs on, before any of them is imported. Standard library only.

osdc itself contacts nobody unless a URL, `weights pull` or `web` asks for it. A value that the user has set stays.
"""

import os

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime reports since 1.29, on Linux by default (microsoft/onnxruntime 27379)
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def switch_off() -> None:
    """Sets the variables in this process, so that its children, Ray's workers among them, have them too."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
