"""One SGD step on 1, 2 and 4 logical CPUs: every method with every network family.

    python drills/replicas.py

Prints, for each pair, the largest difference of a weight after the step, relative to the largest
entry of its array, and ends with an error if one is above 1e-5. The suite compares a choice of
these pairs, the terms that are off by default, and ten steps of Adam.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

METHODS = ("febm/js", "febm/kl", "febm/alpha:-0.5", "dual/js", "contrastive_divergence")
KINDS = ("mlp", "fourier_mlp", "conv", "mnist_net", "resnet32", "resnet32+attention")
# Of the same blocks; resnet128 needs images of 32 pixels.
SIZES = ("resnet32_large", "resnet32_larger", "resnet32_wider")
GENERATORS = ("dcgan", "resnet")
TOLERANCE = 1e-5


def cases() -> list[dict]:
    """Return all pairs."""
    found = [{"method": method, "kind": kind} for kind in KINDS for method in METHODS]
    found += [{"method": "febm/js", "kind": kind} for kind in SIZES]
    found += [{"method": "bidirectional", "kind": kind} for kind in KINDS]
    found += [{"method": "bidirectional", "kind": "mlp", "maker": maker} for maker in GENERATORS]
    coupling = {"method": "bidirectional", "kind": "mlp", "maker": "coupling", "latent_dim": 64}
    # Ten iterations for the singular value depend on where each replica starts them, sixty do not.
    coupling["entropy"] = "logdet"
    iterated = {"method": "bidirectional", "kind": "mlp", "latent_dim": 6, "maker": "mlp"}
    iterated |= {"entropy": "smallest_singular_value", "entropy_iterations": 60}
    names = ("method", "kind", "maker")
    return [
        {"name": " ".join(case[key] for key in names if key in case), **case}
        for case in [*found, coupling, iterated]
    ]


def weights_after(counts: list[int], chosen: list[dict], folder: str) -> dict[int, dict]:
    """Return replicas -> case -> weights after a step."""
    script = str(Path(__file__).with_name("replica_steps.py"))
    # Two replicas first: they write the checkpoints that the others read.
    asked = json.dumps(dict.fromkeys(dict.fromkeys((2, 1, *counts)), chosen))
    subprocess.run([sys.executable, script, asked, folder], check=True)
    found: dict[int, dict] = {}
    for count in (1, 2, *counts):
        found[count] = {}
        with np.load(Path(folder) / f"{count}.npz") as arrays:
            for key in arrays.files:
                name, group, _ = key.split("|")
                if group == "after":
                    found[count].setdefault(name, []).append(arrays[key])
    return found


def largest_difference(counts: list[int], chosen: list[dict], report=lambda line: None) -> float:
    """Return the largest relative difference of a weight among all cases.

    Args:
        counts: Numbers of logical CPUs beside one and two.
        chosen: Of `cases`.
        report: Takes a line about each.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = weights_after(counts, chosen, folder)
    largest = 0.0
    for case in chosen:
        one = found[1][case["name"]]
        worst = {
            count: max(
                np.abs(a - b).max() / max(np.abs(a).max(), 1e-3)
                for a, b in zip(one, found[count][case["name"]], strict=True)
            )
            for count in found
            if count > 1
        }
        largest = max(largest, *worst.values())
        figures = ", ".join(f"{count}: {value:.1e}" for count, value in sorted(worst.items()))
        report(f"{case['name']:45s} {figures}")
    return float(largest)


def main(counts: list[int]) -> int:
    """Compare all of them; return the exit code."""
    largest = largest_difference(counts, cases(), report=lambda line: print(line, flush=True))
    print(f"{len(cases())} pairs, largest relative difference {largest:.1e}")
    return int(largest > TOLERANCE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="*", default=[4])
    sys.exit(main(parser.parse_args().replicas))
