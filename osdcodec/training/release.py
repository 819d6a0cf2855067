"""Makes a trained file the embedded one: `python -m osdcodec.training.release RUNS --results report/records.json --data "…"`.

Copies RUNS/<profile>.safetensors into the package, writes its entry of weights.toml, with the means of the records that
`osdc evaluate KODAK --codec none` measured with that file, and makes its conformance vectors anew.
"""

import argparse
import json
import shutil
import tomllib
from pathlib import Path

from ..evaluation.conformance import renew
from ..weights import entry
from .export import components_text, registry_text

PACKAGE = Path(__file__).parents[1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.training.release", description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--profile", default="small")
    parser.add_argument("--results", type=Path, required=True, help="the records.json that osdc evaluate wrote")
    parser.add_argument("--terms", required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args(arguments)

    registry = PACKAGE.parent / "weights.toml"
    models = tomllib.loads(registry.read_text("utf-8"))["model"] if registry.exists() else []
    bases = components_text(registry)
    previous = [model for model in models if model["profile"] == options.profile]
    name = f"{options.profile}.safetensors"
    (PACKAGE / "embedded").mkdir(exist_ok=True)
    shutil.copyfile(options.runs / name, PACKAGE / "embedded" / name)
    digits = {"lambda": None, "bpp": 4, "psnr": 2, "ms_ssim": 4}
    results = [
        {key: row[key] if places is None else round(row[key], places) for key, places in digits.items()}
        for row in json.loads(options.results.read_text("utf-8"))["summary"]
        if row["codec"] == "osdc"
    ]
    model = entry(PACKAGE / "embedded" / name, options.profile) | {
        "revision": max((model["revision"] for model in previous), default=0) + 1,
        "terms": options.terms,
        "data": options.data,
        "results": results,
    }
    # Until the first release a profile has one model: the new one takes the place of the old.
    models = [other for other in models if other["profile"] != options.profile] + [model]
    registry.write_text(registry_text(models) + bases, "utf-8")
    renew()
    print(f"{registry}: {options.profile} revision {model['revision']}, model id {model['model_id']}")


if __name__ == "__main__":
    main()
