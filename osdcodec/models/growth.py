"""Checkpoints of a model with fewer residual blocks, for one with more: new blocks are zero-initialised.

The branches of residual blocks begin at zero (models/blocks.py), so a grown model does at first what the smaller one did.
So does a model with a part (`Part`) that the checkpoint knows nothing of.
"""

from collections.abc import Iterator

from torch import Tensor, nn

Signature = tuple[tuple[str, tuple[int, ...]], ...]


class Part(nn.Module):
    """An optional module of a profile. Zero-initialised, so the output is unchanged at first."""


def grown(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The state dict `state` under the names of `model`, which may have more blocks in its sequences, and more parts, than the model it is of.

    What is new has the values that it has in `model`. ValueError if anything else differs.
    """
    own = model.state_dict()
    if own.keys() == state.keys() and all(own[name].shape == value.shape for name, value in state.items()):
        return state
    places = dict(_places(model, "", "", state))
    taken = {new: old for new, old in places.items() if old in state}
    for new, old in taken.items():
        if own[new].shape != state[old].shape:
            raise ValueError(f"{old} has the shape {tuple(state[old].shape)}, not {tuple(own[new].shape)}")
    if left := state.keys() - set(taken.values()):
        raise ValueError(f"the model has no place for {min(left)}")
    for new in own.keys() - taken.keys():
        if not any(new.startswith(f"{name}.") for name in _new_parts(model, taken)):
            raise ValueError(f"{new} is missing")
    return own | {new: state[old] for new, old in taken.items()}


def _places(module: nn.Module, new: str, old: str, state: dict[str, Tensor]) -> Iterator[tuple[str, str]]:
    """(name in the model, name in the checkpoint) of every tensor that both have."""
    for name, _ in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
        yield f"{new}{name}", f"{old}{name}"
    children = {name: child for name, child in module.named_children() if child.state_dict()}
    pairs = [(name, name) for name in children]
    if isinstance(module, (nn.Sequential, nn.ModuleList)):
        # A weights file has its tensors in an order of its own.
        names = {name[len(old) :].split(".")[0] for name in state if name.startswith(old)}
        before = sorted(names, key=lambda name: int(name) if name.isdigit() else list(children).index(name))
        if len(before) != len(children):
            pairs = list(_aligned(children, [(name, _stored(state, f"{old}{name}.")) for name in before]))
        else:
            pairs = list(zip(children, before, strict=True))
    for name, former in pairs:
        yield from _places(children[name], f"{new}{name}.", f"{old}{former}.", state)


def _aligned(children: dict[str, nn.Module], before: list[tuple[str, Signature]]) -> Iterator[tuple[str, str]]:
    """Pairs the blocks of two sequences in order; where one run of equal blocks is longer, its last ones are new."""
    remaining = list(children.items())
    for former, signature in before:
        while remaining and _signature(remaining[0][1]) != signature:
            remaining.pop(0)
        if remaining:
            yield remaining.pop(0)[0], former


def _signature(module: nn.Module) -> Signature:
    return tuple(sorted((name, tuple(value.shape)) for name, value in module.state_dict().items()))


def _stored(state: dict[str, Tensor], prefix: str) -> Signature:
    return tuple(sorted((k.removeprefix(prefix), tuple(v.shape)) for k, v in state.items() if k.startswith(prefix)))


def _new_parts(model: nn.Module, taken: dict[str, str]) -> list[str]:
    """The parts, and the blocks of sequences, that the checkpoint lacks."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, Part) and not any(key.startswith(f"{name}.") for key in taken):
            found.append(name)
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            blocks = [f"{name}.{child}" for child, _ in module.named_children()]
            found += [block for block in blocks if not any(key.startswith(f"{block}.") for key in taken)]
    return found
