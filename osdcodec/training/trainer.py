"""The loop around a stage: time budget, learning rate, EMA, checkpoints that resume, a log of JSON lines."""

import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Step = Callable[[int], tuple[Tensor, dict[str, float]]]  # step number -> loss, things to log


def warm_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor], None]:
    """Exponential moving average whose decay rises from a quarter to `decay`: the first steps must not linger in it."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], count: Tensor) -> None:
        share = 1 - min(decay, (1 + float(count)) / (4 + float(count)))
        torch._foreach_lerp_(averages, currents, share)

    return update


class Trainer:
    """Trains `model` with `step` for `minutes` of wall time (checkpointed time counts) or `steps` steps.

    The checkpoint `out/<stage>.pt` holds model, EMA, optimizer, extra state, steps and seconds; a run that finds it goes
    on from there. `out/<stage>.jsonl` gets a line every `every` steps.
    """

    def __init__(
        self,
        stage: str,
        out: Path,
        model: nn.Module,
        accelerator: Accelerator,
        config: dict,
        decay: float = 0.9999,
        extra: nn.Module | None = None,
    ) -> None:
        self.stage, self.out, self.accelerator, self.peak = stage, out, accelerator, config["learning_rate"]
        self.model, self.extra = model, extra
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                factors = [f for part, f in config.get("rate_factors", {}).items() if name.startswith(f"{part}.")]
                groups.setdefault(factors[0] if factors else 1.0, []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
            self.peak, betas=(0.9, 0.99), weight_decay=config["weight_decay"], fused=True,
        )  # fmt: skip
        self.average = AveragedModel(model, multi_avg_fn=warm_average(decay), use_buffers=True)
        self.steps, self.seconds, self.done = 0, 0.0, 0.0
        if self.path.exists():
            state = torch.load(self.path, map_location=accelerator.device, weights_only=True)
            model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            if extra is not None:
                extra.load_state_dict(state["extra"])
            self.steps, self.seconds = state["steps"], state["seconds"]

    @property
    def path(self) -> Path:
        return self.out / f"{self.stage}.pt"

    def save(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "extra": self.extra.state_dict() if self.extra is not None else {},
            "steps": self.steps,
            "seconds": self.seconds,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def log(self, record: dict) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.out / f"{self.stage}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def run(
        self, step: Step, minutes: float, steps: int | None = None, every: int = 50, save_seconds: float = 240
    ) -> nn.Module:
        """Returns the averaged model."""
        budget, saved, since = minutes * 60, self.seconds, time.monotonic() - self.seconds
        values: dict[str, list[float]] = {}
        while (self.steps < steps) if steps is not None else (self.seconds < budget):
            self.done = (
                self.steps / steps if steps is not None else self.seconds / budget
            )  # share of the stage behind us
            rate = self.peak * min(1, (self.steps + 1) / 100) * (0.02 + 0.49 * (1 + math.cos(math.pi * self.done)))
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            loss, record = step(self.steps)
            self.optimizer.zero_grad(set_to_none=True)
            self.accelerator.backward(loss)
            norm = nn.utils.clip_grad_norm_(self.parameters, 1.0)
            if norm.isfinite():  # one bad batch must not end a run of hours
                self.optimizer.step()
                self.average.update_parameters(self.model)
            self.steps += 1
            self.seconds = time.monotonic() - since
            for key, value in (record | {"loss": loss.item(), "gradient": norm.item()}).items():
                values.setdefault(key, []).append(value)
            if self.steps % every == 0:
                means = {key: round(statistics.fmean(seen), 5) for key, seen in values.items()}
                self.log({"step": self.steps, "seconds": round(self.seconds), "rate": round(rate, 7)} | means)
                values.clear()
            if self.seconds - saved > save_seconds:
                self.save()
                saved = self.seconds
        self.save()
        return self.average.module
