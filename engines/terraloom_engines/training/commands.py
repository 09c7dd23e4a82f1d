"""What the command lines of networks that read pictures have in common (`sharpening`, `mountains`)."""

import argparse
from pathlib import Path

import torch

from terraloom_engines.training.rasters import archive_of, data_folder


def parser_of(description: str | None, drawn: str, steps: int) -> argparse.ArgumentParser:
    """A parser of their arguments: `drawn` names what they write, after so many `steps` if nothing else is said."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=data_folder, required=True)
    parser.add_argument("--prior", type=archive_of("relief", "relief_prior"), required=True, help="what relief_prior wrote")
    parser.add_argument("--out", type=Path, required=True, help=f"where to write the {drawn}, as .npz; the checkpoint lies beside, as .pt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=steps, help=f"of training (default: {steps}, some 200 a minute on two cores)")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def prepared(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, once what they ask for can be done."""
    given = parser.parse_args()
    if min(given.steps, given.threads) < 1:
        parser.error("--steps and --threads are at least 1")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    return given
