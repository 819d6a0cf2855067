"""The loop around a stage: time budget, learning rate, average, checkpoints that resume, a log of JSON lines.

One loop serves both profiles: one process or, under `accelerate launch`, many; full or half precision; accumulated gradients.
"""

import json
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from accelerate.utils import broadcast, send_to_device
from torch import Tensor, nn

from ..profile import changes
from .adversary import Adversary
from .checkpoints import Learned, Whole
from .recipe import Run

EVERY = 50  # steps between two lines of the log


class Stage(nn.Module):
    """What a Trainer trains: forward(batch) -> loss, and what to log: numbers, or tensors whose mean is logged.

    model: what learns, is averaged and is kept in checkpoints. beside: modules that belong to the checkpoint but not to the
    model. The trainer says before each batch how many steps, and which share of the stage, lie behind.
    """

    adversary: Adversary | None = None

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.steps, self.done = 0, 0.0

    def batches(self, seed: int) -> Iterator[Any]:
        """Endless; seed: of this process, from this step on."""
        raise NotImplementedError

    def beside(self) -> dict[str, nn.Module]:
        return {"discriminator": self.adversary.discriminator} if self.adversary else {}

    def told(self) -> dict[str, float]:
        """What a line of the log says beside the means."""
        return {}


class Trainer:
    """Trains `stage.model` for `run.minutes` of wall time (time before the checkpoint counts) or `run.steps` steps.

    The checkpoint `out/<name>.pt` holds model, average, optimizer, what belongs beside, steps and seconds; a run that finds it
    goes on from there. `out/<name>.jsonl` gets a line every 50 steps.
    """

    def __init__(self, name: str, run: Run, stage: Stage) -> None:
        self.name, self.stage, self.run, self.recipe = name, stage, run, run.recipe
        stage.to(run.accelerator.device)
        self.kept = (Learned if run.profile.bases else Whole)(stage.model, run.recipe.decay)
        self.optimizer = torch.optim.AdamW(
            groups(stage.model, run.recipe.rate_factors), run.recipe.learning_rate, betas=(0.9, 0.99),
            weight_decay=run.recipe.weight_decay, fused=True,
        )  # fmt: skip
        self.beside = nn.ModuleDict(stage.beside()).to(run.accelerator.device)
        self.steps, self.seconds = 0, 0.0
        if self.path.exists():
            self.resume(torch.load(self.path, map_location=run.accelerator.device, weights_only=True))

    @property
    def path(self):
        return self.run.out / f"{self.name}.pt"

    def resume(self, state: dict) -> None:
        self.kept.load(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.beside.load_state_dict(state["extra"], strict=False)  # a discriminator may be new, or gone
        if self.stage.adversary and state.get("adversary"):
            self.stage.adversary.optimizer.load_state_dict(state["adversary"])
        self.steps, self.seconds = state["steps"], state["seconds"]

    def save(self) -> None:
        if not self.run.accelerator.is_main_process:
            return
        state = self.kept.state() | {
            "optimizer": self.optimizer.state_dict(),
            "extra": self.beside.state_dict(),
            "adversary": self.stage.adversary.optimizer.state_dict() if self.stage.adversary else {},
            "steps": self.steps,
            "seconds": self.seconds,
            "changes": changes(self.run.profile),
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def log(self, record: dict) -> None:
        if self.run.accelerator.is_main_process:
            with open(self.path.with_suffix(".jsonl"), "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def share(self) -> float:
        """Which share of the stage lies behind; all processes have the same, so that they stop at the same step."""
        steps, minutes = self.run.steps, self.run.minutes
        share = self.steps / steps if steps else self.seconds / max(minutes * 60, 1e-9) if steps is None else 1.0
        if self.run.accelerator.num_processes > 1:
            share = broadcast(torch.tensor(share, device=self.run.accelerator.device)).item()
        return share

    def train(self) -> nn.Module:
        """Returns the averaged model."""
        accelerator, stage, recipe = self.run.accelerator, self.stage, self.recipe
        # Every process and every resumption draws other crops and noise.
        seed = 1000 * self.steps + accelerator.process_index
        torch.manual_seed(seed)
        batches, parameters = stage.batches(seed), [p for group in self.optimizer.param_groups for p in group["params"]]
        accelerator.gradient_accumulation_steps, accelerator.step = (
            recipe.accumulate,
            0,
        )  # stages accumulate differently
        prepared, optimizer = accelerator.prepare(stage, self.optimizer)
        values: dict[str, list[Tensor]] = {}
        saved, since = self.seconds, time.monotonic() - self.seconds
        while (done := self.share()) < 1:
            fall = 0.02 + 0.49 * (1 + math.cos(math.pi * done))
            rate = recipe.learning_rate * min(1, (self.steps + 1) / recipe.warmup) * fall
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["factor"]
            stage.steps, stage.done = self.steps, done
            for _ in range(recipe.accumulate):
                batch = send_to_device(next(batches), accelerator.device)
                with accelerator.accumulate(prepared):
                    loss, record = prepared(batch)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        norm = accelerator.clip_grad_norm_(parameters, 1.0)
                        if not norm.isfinite():  # one bad batch must not end a run of days
                            optimizer.zero_grad()
                    optimizer.step()
                    optimizer.zero_grad()
                if stage.adversary:
                    record = record | stage.adversary.learn(recipe.accumulate)
                for key, value in (record | {"loss": loss}).items():
                    values.setdefault(key, []).append(torch.as_tensor(value).detach().float().mean())
            if stage.adversary:
                stage.adversary.step(accelerator)
            if norm.isfinite():
                self.kept.update()
            values.setdefault("gradient", []).append(norm.detach().float())
            self.steps, self.seconds = self.steps + 1, time.monotonic() - since
            if self.steps % EVERY == 0 or self.steps == self.run.steps:
                means = {key: round(torch.stack(seen).mean().item(), 5) for key, seen in values.items()}
                line = {"step": self.steps, "seconds": round(self.seconds), "rate": round(rate, 7)}
                self.log(line | means | stage.told())
                values.clear()
            if self.seconds - saved > 60 * recipe.save_minutes:
                self.save()
                saved = self.seconds
        self.save()
        accelerator.wait_for_everyone()
        accelerator.free_memory()
        return self.kept.averaged()


def groups(model: nn.Module, factors: dict[str, float]) -> list[dict]:
    """The trained parameters by the factor of their learning rate. factors: part of the model -> factor."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((value for part, value in factors.items() if name.startswith(f"{part}.")), 1.0)
            by_factor.setdefault(factor, []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in by_factor.items()]
