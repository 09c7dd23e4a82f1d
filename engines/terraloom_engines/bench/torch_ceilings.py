"""The ceilings of a GPU, by torch: a product of matrices in bf16, as its matrix units have it, and a copy within its memory."""

from collections.abc import Callable

import torch

from terraloom_engines.bench.ceilings import Ceilings, best_seconds

SIDE = 8192
COPIED = 2 << 30


def gpu_ceilings(repeats: int = 10) -> Ceilings:
    """Needs a torch that sees a GPU."""
    first, second = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source, target = (torch.empty(COPIED, device="cuda", dtype=torch.uint8) for _ in range(2))

    def waited(run: Callable[[], object]) -> Callable[[], None]:
        def wait() -> None:
            run()
            torch.cuda.synchronize()

        return wait

    product = best_seconds(waited(lambda: first @ second), repeats)
    copy = best_seconds(waited(lambda: target.copy_(source)), repeats)
    return Ceilings(2 * SIDE**3 / product / 1e9, 2 * COPIED / copy / 1e9, f"torch {torch.__version__} in bf16")
