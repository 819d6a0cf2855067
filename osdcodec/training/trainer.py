"""The loop around a stage: time budget, learning rate, average, checkpoints that resume, a log of JSON lines.

One loop serves both profiles: one process or, under `accelerate launch`, many; full or half precision; accumulated gradients.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from accelerate.utils import broadcast, send_to_device
from torch import Tensor, nn

from ..console import Progress
from ..profile import changes
from .adversary import Adversary
from .checkpoints import Learned, Whole
from .recipe import Run

EVERY = 50  # steps between two lines of the log
Model = TypeVar("Model", bound=nn.Module)


class Stage(nn.Module, Generic[Model]):
    """What a Trainer trains: forward(batch) -> loss, and what to log: numbers, or tensors whose mean is logged.

    model: what learns, is averaged and is kept in checkpoints. beside: modules that belong to the checkpoint but not to the
    model. The trainer says before each batch how many steps, and which share of the stage, lie behind.
    """

    adversary: Adversary | None = None
    model: Model

    def __init__(self, model: Model) -> None:
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


class Trainer(Generic[Model]):
    """Trains `stage.model` for `run.minutes` of wall time (time before the checkpoint counts) or `run.steps` steps.

    The checkpoint `out/<name>.pt` holds model, average, optimizer, what belongs beside, steps and seconds; a run that finds it
    goes on from there. `out/<name>.jsonl` gets a line every 50 steps.
    """

    def __init__(self, name: str, run: Run, stage: Stage[Model]) -> None:
        self.name, self.stage, self.run, self.recipe = name, stage, run, run.recipe
        stage.to(run.accelerator.device)
        self.kept = (Learned if run.profile.pretrained else Whole)(stage.model, run.recipe.decay)
        self.optimizer = torch.optim.AdamW(
            groups(stage.model, run.recipe.rate_factors), run.recipe.learning_rate, betas=(0.9, 0.99),
            weight_decay=run.recipe.weight_decay, fused=True,
        )  # fmt: skip
        self.beside = nn.ModuleDict(stage.beside()).to(run.accelerator.device)
        self.steps, self.seconds = 0, 0.0
        if self.path.exists():
            self.resume(torch.load(self.path, map_location=run.accelerator.device, weights_only=True))

    @property
    def path(self) -> Path:
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
        """Adds a line of JSON to the log."""
        if self.run.accelerator.is_main_process:
            with open(self.path.with_suffix(".jsonl"), "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")

    def means(self, rate: float, values: dict[str, list[Tensor]]) -> dict[str, Any]:
        """Returns a line of the log: where the stage is, and the means of `values` since the last line."""
        means = {key: round(torch.stack(seen).mean().item(), 5) for key, seen in values.items()}
        return {"step": self.steps, "seconds": round(self.seconds), "rate": round(rate, 7)} | means | self.stage.told()

    def share(self) -> float:
        """Returns the share 0 .. 1 of the stage that is done; all processes have the same, so that they stop at the same step."""
        if self.run.steps:
            share = self.steps / self.run.steps
        elif self.run.steps is None:
            share = self.seconds / max(60 * self.run.minutes, 1e-9)
        else:
            share = 1.0
        if self.run.accelerator.num_processes > 1:
            share = broadcast(torch.tensor(share, device=self.run.accelerator.device)).item()
        return share

    def train(self) -> Model:
        """Returns the averaged model."""
        accelerator = self.run.accelerator
        # Every process and every resumption draws other crops and noise.
        seed = 1000 * self.steps + accelerator.process_index
        torch.manual_seed(seed)
        batches = self.stage.batches(seed)
        accelerator.gradient_accumulation_steps, accelerator.step = self.recipe.accumulate, 0  # stages differ
        prepared, optimizer = accelerator.prepare(self.stage, self.optimizer)
        values: dict[str, list[Tensor]] = {}
        saved, since = self.seconds, time.monotonic() - self.seconds
        with Progress(self.name, quiet=self.run.quiet or not accelerator.is_main_process) as progress:
            while (done := self.share()) < 1:
                rate = self.schedule(done)
                self.step(prepared, optimizer, batches, values)
                self.steps, self.seconds = self.steps + 1, time.monotonic() - since
                if progress.due():
                    progress.tell(done, f"step {self.steps:,}, loss {values['loss'][-1].item():.4g}")
                else:
                    progress.tell(done)
                if self.steps % EVERY == 0 or self.steps == self.run.steps:
                    self.log(self.means(rate, values))
                    values.clear()
                if self.seconds - saved > 60 * self.recipe.save_minutes:
                    self.save()
                    saved = self.seconds
        self.save()
        accelerator.wait_for_everyone()
        accelerator.free_memory()
        return cast(Model, self.kept.averaged())

    def schedule(self, done: float) -> float:
        """Sets the learning rate for the share 0 .. 1 of the stage that is done, and tells the stage -> the rate."""
        fall = 0.02 + 0.49 * (1 + math.cos(math.pi * done))
        rate = self.recipe.learning_rate * min(1, (self.steps + 1) / self.recipe.warmup) * fall
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.stage.steps, self.stage.done = self.steps, done
        return rate

    def step(
        self, prepared: nn.Module, optimizer: Any, batches: Iterator[Any], values: dict[str, list[Tensor]]
    ) -> None:
        """Takes one step over `accumulate` batches; values: gets what is logged of each.

        prepared, optimizer: the stage and its optimizer as accelerate wraps them.
        """
        accelerator, stage, accumulate = self.run.accelerator, self.stage, self.recipe.accumulate
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for _ in range(accumulate):
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
                record = record | stage.adversary.learn(accumulate)
            for key, value in (record | {"loss": loss}).items():
                values.setdefault(key, []).append(torch.as_tensor(value).detach().float().mean())
        if stage.adversary:
            stage.adversary.step(accelerator)
        if norm.isfinite():
            self.kept.update()
        values.setdefault("gradient", []).append(norm.detach().float())


def groups(model: nn.Module, factors: dict[str, float]) -> list[dict]:
    """The trained parameters by the factor of their learning rate. factors: part of the model -> factor."""
    by_factor: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = next((value for part, value in factors.items() if name.startswith(f"{part}.")), 1.0)
            by_factor.setdefault(factor, []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in by_factor.items()]
