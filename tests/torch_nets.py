"""Modules whose tangent kernels the tests compare, and the plain way to compute one."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn

# The networks are tiny: threads would wait for each other longer than they work.
torch.set_num_threads(1)


def rows(n: int, *shape: int, seed: int = 1) -> Any:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed)).double()


def words(n: int, length: int, size: int, seed: int = 2) -> Any:
    return torch.randint(0, size, (n, length), generator=torch.Generator().manual_seed(seed))


class Residual(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)

    def forward(self, x: Any) -> Any:
        return x + self.second(torch.tanh(self.first(x)))


class Twice(nn.Module):
    """One layer is called twice, between two others."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.out(torch.tanh(self.inside(torch.tanh(self.inside(x)))))


class TiedLinear(nn.Module):
    """Two layers share a weight and have biases of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x: Any) -> Any:
        return self.b(torch.tanh(self.a(x)))[:, :2]


class TiedEmbedding(nn.Module):
    """The weight of the embedding is that of the output layer, too."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 5)
        self.mix = nn.Linear(5, 5)
        self.out = nn.Linear(5, 11, bias=False)
        self.functional = functional
        if not functional:
            self.out.weight = self.words.weight
        else:
            del self.out

    def forward(self, tokens: Any) -> Any:
        hidden = torch.tanh(self.mix(self.words(tokens))).mean(1)
        if self.functional:
            return hidden @ self.words.weight.T
        return self.out(hidden)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 5, padding_idx=3)
        self.norm = nn.LayerNorm(5)
        self.out = nn.Linear(5, 2)

    def forward(self, tokens: Any) -> Any:
        return self.out(torch.tanh(self.norm(self.words(tokens)))).mean(1)


class Raw(nn.Module):
    """Parameters of its own beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.tensor([0.5, 1.5, -1.0, 2.0]))
        self.unused = nn.Parameter(torch.ones(3))
        self.register_buffer("shift", torch.tensor([1.0, 0.0, -1.0, 0.5]))

    def forward(self, x: Any) -> Any:
        return torch.sin(self.layer(x) + self.shift) * self.scale.exp()


class InPlace(nn.Module):
    """Values of layers are overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Any) -> Any:
        h = torch.tanh(self.a(x))
        y = self.b(h)
        y += h
        return self.c(y.mul_(2.0)).relu_()


class _Product(torch.autograd.Function):
    """x W^T, with a backward pass alone."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, weight = ctx.saved_tensors
        return g @ weight, g.T @ x


class Custom(nn.Module):
    """A layer's weight is used by a function of somebody's own, without a rule for vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.b(torch.tanh(_Product.apply(x, self.a.weight)))


class TimeFirst(nn.Module):
    """Samples are not along the first axis inside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.b(torch.tanh(self.a(x.transpose(0, 1)))).mean(0)


class Flattened(nn.Module):
    """Samples and positions are one axis inside."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        h = torch.tanh(self.a(x.reshape(-1, 4)))
        return self.b(h).reshape(len(x), -1, 2).mean(1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 3, batch_first=True)
        self.out = nn.Linear(3, 1)

    def forward(self, x: Any) -> Any:
        return self.out(self.cells(x)[0][:, -1]).squeeze()


class SeveralInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.number = nn.Embedding(11, 4), nn.Linear(3, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, tokens: Any, x: Any) -> Any:
        return self.out(torch.tanh(self.words(tokens).sum(1) * self.number(x)))


def convolutions() -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Conv2d(4, 3, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(1, 0), bias=False),
        nn.LayerNorm([3, 3, 4]),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def circular() -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding="same", padding_mode="circular"),
        nn.Tanh(),
        nn.Conv2d(3, 3, 2, padding="same"),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()


def cases() -> dict[str, tuple[Any, Any]]:
    """Name -> (module, X), all in float64."""
    torch.manual_seed(0)
    vector, image = rows(6, 6), rows(5, 2, 6, 6)
    made = {
        "mlp": (
            nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 3)),
            vector,
        ),
        "cnn with norms": (convolutions(), image),
        "circular cnn": (circular(), image),
        "grouped cnn": (
            nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(64, 2)),
            image,
        ),
        "conv1d": (
            nn.Sequential(nn.Conv1d(2, 3, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 2)),
            rows(5, 2, 9),
        ),
        "residual": (nn.Sequential(Residual(6), Residual(6), nn.Linear(6, 2)), vector),
        "used twice": (Twice(), vector),
        "tied linear": (TiedLinear(), vector),
        "tied embedding": (TiedEmbedding(False), words(5, 4, 11)),
        "tied embedding, by hand": (TiedEmbedding(True), words(5, 4, 11)),
        "embedding": (Words(), words(6, 5, 11)),
        "raw parameters": (Raw(), vector),
        "in place": (InPlace(), vector),
        "custom function": (Custom(), vector),
        "time first": (TimeFirst(), rows(5, 7, 4)),
        "recurrent": (Recurrent(), rows(4, 3, 4)),
        "flattened": (Flattened(), rows(5, 7, 4)),
        "several inputs": (SeveralInputs(), (words(5, 3, 11), rows(5, 3))),
        "weight norm": (
            nn.Sequential(
                nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.Tanh(), nn.Linear(5, 2)
            ),
            vector,
        ),
        "attention": (
            nn.Sequential(
                nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True), nn.Flatten()
            ).eval(),
            rows(3, 3, 6),
        ),
        "one output without an axis": (nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), vector),
        "image to image": (nn.Conv2d(2, 2, 3), rows(3, 2, 4, 4)),
    }
    return {name: (module.double(), x) for name, (module, x) in made.items()}


def plain_jacobian(module: Any, x: Any, parameters: Any = None) -> Any:
    """J of shape (n, outputs, parameters): autograd, one sample and one output at a time."""
    parts = x if isinstance(x, tuple) else (x,)
    chosen = (
        [p for p in module.parameters() if p.requires_grad] if parameters is None else parameters
    )
    samples = []
    for i in range(len(parts[0])):
        out = module(*(part[i : i + 1] for part in parts)).reshape(-1)
        gradients = [
            torch.autograd.grad(each, chosen, retain_graph=True, allow_unused=True) for each in out
        ]
        samples.append(
            torch.stack(
                [
                    torch.cat(
                        [
                            (torch.zeros_like(p) if g is None else g).reshape(-1)
                            for p, g in zip(chosen, row, strict=True)
                        ]
                    )
                    for row in gradients
                ]
            )
        )
    return torch.stack(samples).detach()


def plain_kernel(j: Any, other: Any, mode: str) -> Any:
    full = torch.einsum("icp,jdp->ijcd", j, other)
    each = torch.diagonal(full, dim1=2, dim2=3)
    return {"full": full, "diagonal": each, "trace": each.mean(2)}[mode]
