"""The models of the paper's scale, out of folders in diffusers' format: with their weights, or with random ones to time them.

FOLDER/imagery/   unet, encoder, scheduler
FOLDER/geometry/  unet, vae, text_encoder, scheduler, and tokenizer where there are weights: what a pipeline of InstructPix2Pix has
"""

import hashlib
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ConfigMixin, DDIMScheduler, ModelMixin, UNet2DConditionModel, UNet2DModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from terraloom.errors import NotFoundError

PROMPT = "estimate the height of this image"
"""The task, as the geometry network is told it."""


class CoarseImageEncoder(ModelMixin, ConfigMixin):
    """Encodes the coarser image (N, 3, n, n) as features (N, channels, 2 n, 2 n), which stand beside the noised finer one."""

    @register_to_config
    def __init__(self, channels: int = 16, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        middle = [part for _ in range(layers) for part in (nn.Conv2d(width, width, 3, padding=1), nn.SiLU())]
        self.enter, self.middle = nn.Conv2d(3, width, 3, padding=1), nn.Sequential(nn.SiLU(), *middle)
        self.leave = nn.Conv2d(width, 4 * channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """As the class says."""
        return nn.functional.pixel_shuffle(self.leave(self.middle(self.enter(image))), 2)


@dataclass(frozen=True)
class ImageryModel:
    """Scale-space transition. `sample_size` of the UNet is the window's side in finer pixels."""

    unet: Any
    encoder: Any
    scheduler: Any


@dataclass(frozen=True)
class GeometryModel:
    """Dimensional lifting: latent, told its task; `prompt` is encoded, (1, tokens, C).

    `sample_size` of the autoencoder is the window's side in finer pixels.
    """

    unet: Any
    vae: Any
    scheduler: Any
    prompt: Tensor


@dataclass(frozen=True)
class PaperModels:
    """Both, on a device. `digest` differs between weights that differ."""

    imagery: ImageryModel
    geometry: GeometryModel
    digest: str
    device: torch.device
    dtype: torch.dtype

    def parameters(self) -> dict[str, int]:
        """Their number, by part; the text encoder is needed for the prompt alone and is not kept."""
        parts = {"imagery.unet": self.imagery.unet, "imagery.encoder": self.imagery.encoder}
        parts |= {"geometry.unet": self.geometry.unet, "geometry.vae": self.geometry.vae}
        return {name: count(model) for name, model in parts.items()}


def count(model: nn.Module) -> int:
    """Parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def shipped_folder() -> Path:
    """`configs/metaearth3d`: the paper's architectures, without weights."""
    return Path(str(files("terraloom_engines").joinpath("configs", "metaearth3d")))


_MODELS: dict[str, Any] = {
    "imagery/unet": UNet2DModel, "imagery/encoder": CoarseImageEncoder,
    "geometry/unet": UNet2DConditionModel, "geometry/vae": AutoencoderKL, "geometry/text_encoder": CLIPTextModel,
}  # fmt: skip


def build(folder: Path, part: str) -> Any:
    """A model by its config alone, with random weights: torch's generator decides them, its default device where they lie."""
    if part == "geometry/text_encoder":
        return CLIPTextModel(CLIPTextConfig.from_pretrained(folder / part))
    kind = _MODELS[part]
    return kind.from_config(kind.load_config(folder / part))


def load(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32, random_seed: int | None = None) -> PaperModels:
    """The models of a folder; with `random_seed` its architectures with random weights, for their speed alone.

    Raises NotFoundError for a folder that lacks a part, or weights where they are not to be random.
    """
    digest = hashlib.sha256(f"{random_seed} {dtype}".encode())
    if random_seed is not None:
        torch.manual_seed(random_seed)
    parts = {part: _part(folder, part, random_seed is not None, digest, dtype).to(device).eval() for part in _MODELS}
    imagery, geometry = (DDIMScheduler.from_pretrained(_existing(folder / name / "scheduler")) for name in ("imagery", "geometry"))
    encoder = parts["geometry/text_encoder"]
    with torch.inference_mode():
        prompt = encoder(_tokens(folder, encoder.config, random_seed is not None).to(device)).last_hidden_state
    return PaperModels(
        ImageryModel(parts["imagery/unet"], parts["imagery/encoder"], imagery),
        GeometryModel(parts["geometry/unet"], parts["geometry/vae"], geometry, prompt),
        digest.hexdigest(), torch.device(device), dtype,
    )  # fmt: skip


def _part(folder: Path, part: str, random: bool, digest: Any, dtype: torch.dtype) -> Any:
    path = _existing(folder / part)
    digest.update((path / "config.json").read_bytes())
    if random:
        model = build(folder, part)
        return model if dtype is torch.float32 else model.to(dtype)
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise NotFoundError(f"there are no weights (*.safetensors) in {path}: random ones are used only where they are asked for")
    for file in weights:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    options = {"dtype": dtype} if part == "geometry/text_encoder" else {"torch_dtype": dtype, "low_cpu_mem_usage": False}
    model = _MODELS[part].from_pretrained(path, local_files_only=True, use_safetensors=True, **options)
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # out of the file, where they lie as they may: kernels sum by how memory is aligned
    return model


def _existing(path: Path) -> Path:
    if not path.is_dir():
        raise NotFoundError(f"there is no {path}: a folder of stages of the paper's scale has imagery and geometry in diffusers' format")
    return path


def _tokens(folder: Path, config: Any, random: bool) -> Tensor:
    """The prompt by the folder's tokenizer; random weights have no vocabulary, and any number stands for a word."""
    length = config.max_position_embeddings
    if random:
        words = [zlib.crc32(word.encode()) % (config.vocab_size - 2) for word in PROMPT.split()]
        ids = [config.bos_token_id, *words, *[config.eos_token_id] * length][:length]
        return torch.tensor([ids])
    tokenizer = CLIPTokenizer.from_pretrained(_existing(folder / "geometry/tokenizer"), local_files_only=True)
    found: Tensor = tokenizer(PROMPT, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
    return found
