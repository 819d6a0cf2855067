"""What training `turbo` asks of a GPU, without one: `python -m osdcodec.maintenance.experiments.gpu_needs [--crop 512]`.

An estimate, not a measurement. Forward and backward pass of each stage run on tensors without contents (torch's FakeTensorMode) under
bfloat16 autocast: operations are counted by torch's FlopCounterMode, memory as the largest sum of the storages alive at once.
What is not counted: the CUDA context, the allocator's fragments, the discriminator's own step.
"""

import argparse
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from ...console import run_command
from ...models import CodecModel
from ...models.turbo import clip_tower, of_pretrained
from ...profile import TURBO
from ...training import turbo
from ...training.recipe import Run, read
from ...training.turbo.pixels import Pixels
from ...training.turbo.relay import Relay
from ...training.turbo.stages import Batch

GIB, TERA = 2**30, 1e12
STATE = 16  # bytes of a trained parameter: itself, two moments, the average; gradients are counted with the activations
# Published dense bfloat16 rates in TFLOP/s, and the share of them that such networks usually reach.
CARDS = {"RTX 4090, 24 GB": (165, 0.35), "A100, 80 GB": (312, 0.4), "H100, 80 GB": (989, 0.35)}
PICTURES = {"relay": 1_600_000, "pixels": 800_000}  # 100,000 and 50,000 steps of 16


class Peak(TorchDispatchMode):
    """Counts the bytes of all tensors alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch, behind a decorator
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.bytes = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self.alive[reference.cdata] = reference, storage.nbytes()
        if sum(size for _, size in self.alive.values()) > self.bytes:
            self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
            self.bytes = max(self.bytes, sum(size for _, size in self.alive.values()))
        return result


def materialise_fake(model: nn.Module) -> None:
    """Gives a model on the meta device parameters without contents, pretrained models in half precision."""
    for name, old in [*model.named_parameters(), *model.named_buffers()]:
        path, _, leaf = name.rpartition(".")
        half = of_pretrained(name) and old.is_floating_point()
        new = torch.empty(old.shape, dtype=torch.bfloat16 if half else old.dtype)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, old.requires_grad)
        setattr(model.get_submodule(path), leaf, new)


def cost(name: str, batch: int, crop: int, recipe: object) -> tuple[float, float]:
    """Floating-point operations a picture and bytes of one step, weights and optimizer included."""
    with torch.device("meta"):
        model = CodecModel(TURBO)
        model.semantics.tower = clip_tower(None).requires_grad_(False)
    with FakeTensorMode(), mock.patch("torch.randint", lambda *_: 0):  # where the window lies costs nothing
        materialise_fake(model)
        stage = {"relay": Relay, "pixels": Pixels}[name](Run(TURBO, recipe, Path("none"), Path("none"), None), model)
        stage.done = 1.0
        examples = Batch(torch.zeros(batch, 3, crop, crop), torch.full((batch,), 100.0))
        with Peak() as peak, FlopCounterMode(display=False) as counter:
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = stage(examples)
            loss.backward()
    fixed = sum(2 * p.numel() if of_pretrained(n) else STATE * p.numel() for n, p in model.named_parameters())
    return counter.get_total_flops() / batch, fixed + peak.bytes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m osdcodec.maintenance.experiments.gpu_needs", description=__doc__)
    parser.add_argument("--crop", type=int, default=512)
    options = parser.parse_args(arguments)
    _, recipes = read(turbo.RECIPE, TURBO, turbo.STAGES)
    table = Table("stage", "batch", "TFLOP a picture", "GiB a step", *(f"hours, {card}" for card in CARDS))
    for name, batches in (("relay", (2, 4, 16)), ("pixels", (1, 2, 8))):
        for batch in batches:
            flops, memory = cost(name, batch, options.crop, recipes[name])
            hours = [PICTURES[name] * flops / (rate * TERA * share) / 3600 for rate, share in CARDS.values()]
            row = (name, f"{batch}", f"{flops / TERA:.1f}", f"{memory / GIB:.1f}", *(f"{hour:.0f}" for hour in hours))
            table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    run_command(main)
