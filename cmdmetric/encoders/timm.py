"""Image networks of timm, which open_clip brings along: any, and DINOv2 as FD-DINOv2 has it.

timm is imported when a network is looked up in its list or built. That takes seconds, which DINOv2
does without where all of its features are in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import Space
from cmdmetric.encoders.rgb import to_rgb
from cmdmetric.encoders.weights import Digest, find_on_hub
from cmdmetric.errors import InputError
from cmdmetric.files import named_path, sha256_of

if TYPE_CHECKING:
    import torch

#: A state dict: tensors by name.
_State = dict[str, Any]
_Pixels = NDArray[np.uint8]
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Of weights in timm's repositories and folders, the first that is there.
_FILES = ("model.safetensors", "pytorch_model.bin")
#: What a name of timm's list looks like; a path does not where a separator is in it.
_LISTED = re.compile(r"\w+(\.\w+)?")
#: Keywords by which a folder could make timm fetch or read something else than its weights.
_REFUSED = re.compile(r"pretrained|checkpoint|cache|features|scriptable|exportable|no_jit")
#: An aspect beyond which only the middle of an image is resized: the whole would fill the memory.
_LONG = 64
#: FD-DINOv2 looks at images of so many pixels; DINOv2 was trained for the grid of 518, in patches.
_DINOV2_SIZE, _DINOV2_GRID, _DINOV2_PATCH = 224, 37, 14


@dataclass(frozen=True)
class Card:
    """What is known of a network before it is built.

    Attributes:
        name: What the user calls it.
        architecture: A name in timm's list.
        file: Its weights.
        prepare: Gives the pixels (height, width, 3) uint8 that it gets of an image, in any thread.
        protocol: Names this preparation in signatures.
        mean: Of the pixels in [0, 1] that it was trained with, for red, green and blue.
        std: Their standard deviation.
        arguments: What timm is to build it with.
        adapt: What is done to its weights before they are loaded.
    """

    name: str
    architecture: str
    file: Path
    prepare: Callable[[Image.Image], _Pixels]
    protocol: str
    mean: tuple[float, ...] = _IMAGENET_MEAN
    std: tuple[float, ...] = _IMAGENET_STD
    arguments: Mapping[str, Any] = field(default_factory=dict)
    adapt: Callable[[_State], _State] = dict


class TimmNetwork:
    """A network of timm without its classifier, an `ImageNetwork`: the pooled features (n, d).

    It is built when it encodes, not before.
    """

    def __init__(
        self,
        card: Card,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        digest: Digest = sha256_of,
    ) -> None:
        """Take a network's card.

        Args:
            card: What is known of it.
            device: Where it computes, as torch names it; by default on a GPU where there is one.
            batch_size: How many images it takes at once; it changes the speed only.
            digest: Gives the sha256 of a file.

        Raises:
            InputError: There is no such device, or the weights cannot be read.
        """
        from cmdmetric.encoders.device import choose_device

        self._card = card
        self.device = choose_device(device)
        self.batch_size = batch_size
        #: sha256 (hex) of the weights' file.
        self.sha256 = digest(card.file)
        #: What the signatures of its metrics have in other words than CMD's.
        self.fields = {"proto": card.protocol, "dtype": "fp32", "tok": "none"}

    @property
    def space(self) -> Space:
        """What decides on its features beside the image."""
        card = self._card
        return Space(
            f"images, {card.name} {self.sha256[:8]}",
            what="timm",
            weights=self.sha256,
            architecture=card.architecture,
            arguments=json.dumps(card.arguments, sort_keys=True, default=str),
            protocol=card.protocol,
            normalisation=(card.mean, card.std),
            timm=version("timm"),
            pillow=PIL.__version__,
        )

    def prepare(self, image: Image.Image) -> _Pixels:
        """The pixels (height, width, 3) that the network gets of an image."""
        return self._card.prepare(image)

    def encode(self, pixels: _Pixels) -> NDArray[np.float32]:
        """Features (n, d) of pixels from `prepare`, (n, height, width, 3).

        Raises:
            InputError: The weights do not fit the network, or its features are not finite vectors.
        """
        import torch

        from cmdmetric.encoders.device import exact_float32

        card, network = self._card, self._network
        with exact_float32(self.device):
            mean, std = (
                torch.tensor(colour, device=self.device).view(3, 1, 1)
                for colour in (card.mean, card.std)
            )
            x = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
            found = network((x.permute(0, 3, 1, 2).float() / 255 - mean) / std)
            features: NDArray[np.float32] = found.float().cpu().numpy()
        if features.ndim != 2:
            raise InputError(
                f"{card.name} gives {features.shape[1:]} numbers for an image and no vector: it "
                "does not pool its features"
            )
        if not np.isfinite(features).all():
            raise InputError(f"{card.file}: these weights give features that are not finite")
        return features

    def provenance(self, source: str) -> None:
        """No protocol of ours is behind its features: moments of them are stored without one."""
        return None

    @functools.cached_property
    def _network(self) -> Any:
        network = _build(self._card)
        return network.eval().requires_grad_(False).to(self.device)


def timm_network(
    model: str | Path,
    weights: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    digest: Digest = sha256_of,
) -> TimmNetwork:
    """Find a network by its name in timm's list, or in a folder in timm's format.

    Pixels are those of timm's own transform for evaluation, after Pillow's `convert("RGB")`.

    Args:
        model: The name, such as "resnet50" or "vit_base_patch16_224.mae"; or a folder with the
            config.json and the model.safetensors that timm writes for the Hub.
        weights: The file of its weights; by default the folder's, or what the Hub has for the name,
            from its cache or by a download that is announced.
        device: Where it computes; by default on a GPU where there is one.
        batch_size: How many images it takes at once.
        digest: Gives the sha256 of a file.

    Raises:
        InputError: There is no such network, or its weights cannot be had.
    """
    if weights is not None and not named_path(weights).is_file():
        raise InputError(f"{weights}: no such weights file")
    folder = named_path(model)
    if folder.is_dir():
        name, arguments, settings = folder.resolve().name, *_read_config(folder)
        file = next((folder / each for each in _FILES if (folder / each).is_file()), None)
    else:
        name, arguments, file = str(model), {}, None
        settings = _published(name)
    if weights is not None:
        file = named_path(weights)
    if file is None:
        if folder.is_dir():
            raise InputError(f"{folder}: it holds no weights (model.safetensors)")
        file = find_on_hub(
            settings.get("hf_hub_id") or "",
            (settings["hf_hub_filename"],) if settings.get("hf_hub_filename") else _FILES,
            f"weights of {name}",
        )
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    try:
        used = resolve_data_config(pretrained_cfg=settings)
        transform = create_transform(**used, is_training=False, use_prefetcher=True)
        mean, std = (tuple(float(value) for value in used[key]) for key in ("mean", "std"))
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean {mean}, std {std}: not those of red, green and blue")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{name}: timm cannot prepare images for it: {error}") from None
    of_folder = {"arguments": dict(arguments), "images": {k: str(v) for k, v in used.items()}}
    known = hashlib.sha256(json.dumps(of_folder, sort_keys=True, default=str).encode()).hexdigest()
    card = Card(
        name=name,
        architecture=str(settings["architecture"]),
        file=file,
        prepare=functools.partial(_by_transform, transform, used.get("crop_mode")),
        protocol=f"timm@{known[:8]}",
        mean=mean,
        std=std,
        arguments=arguments,
    )
    return TimmNetwork(card, device=device, batch_size=batch_size, digest=digest)


def dinov2(
    weights: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    batch_size: int = 32,
    digest: Digest = sha256_of,
) -> TimmNetwork:
    """DINOv2 (Oquab et al. 2024), ViT-L/14, as the code of FD-DINOv2 runs it (Stein et al. 2023).

    That is `convert("RGB")`, Pillow's bicubic resize of the whole image to 224x224 pixels, the mean
    and the deviation of ImageNet, and the class token after the last normalisation, (n, 1024).

    Args:
        weights: Their file, as timm has them (model.safetensors) or as Meta has published them
            (dinov2_vitl14_pretrain.pth); by default timm's from the Hub.
        device: Where it computes; by default on a GPU where there is one.
        batch_size: How many images it takes at once.
        digest: Gives the sha256 of a file.

    Raises:
        InputError: The weights cannot be had.
    """
    if weights is not None:
        file = named_path(weights)
        if not file.is_file():
            raise InputError(f"{weights}: no such weights file")
    else:
        file = find_on_hub("timm/vit_large_patch14_dinov2.lvd142m", _FILES, "weights of DINOv2")
    card = dinov2_card(file, "vit_large_patch14_dinov2")
    return TimmNetwork(card, device=device, batch_size=batch_size, digest=digest)


def dinov2_card(file: Path, architecture: str) -> Card:
    """The card of a DINOv2 of any size under FD-DINOv2's protocol; timm names its architecture."""
    return Card(
        name="dinov2",
        architecture=architecture,
        file=file,
        prepare=_squashed,
        protocol="dgm-eval",
        arguments={"img_size": _DINOV2_SIZE},
        adapt=_with_dinov2_positions,
    )


def _squashed(image: Image.Image) -> _Pixels:
    size = _DINOV2_SIZE, _DINOV2_SIZE
    return np.asarray(to_rgb(image, "convert").resize(size, Image.Resampling.BICUBIC))


def _by_transform(
    transform: Callable[[Image.Image], Any], crop: str | None, image: Image.Image
) -> _Pixels:
    image = to_rgb(image, "convert")
    short = min(image.size)
    if crop != "squash" and max(image.size) > _LONG * short:
        width, height = (min(side, _LONG * short) for side in image.size)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    pixels: _Pixels = transform(image).permute(1, 2, 0).numpy()
    return pixels


def _with_dinov2_positions(state: _State) -> _State:
    """Position embeddings of the 37x37 patches of DINOv2's training, for 16x16, as its hub does.

    Meta's code takes the scale (16 + 0.1) / 37 in place of the size, and does not antialias; timm's
    own resampling does, which gives other embeddings.
    """
    import torch

    state = {key: value for key, value in state.items() if key != "mask_token"}
    positions = state.get("pos_embed")
    grid = _DINOV2_SIZE // _DINOV2_PATCH
    if positions is None or positions.shape[1] != 1 + _DINOV2_GRID**2:
        raise ValueError(
            f"its pos_embed is {None if positions is None else tuple(positions.shape)}; DINOv2 has "
            f"one of (1, {1 + _DINOV2_GRID**2}, d)"
        )
    token, patches = positions.float()[:, :1], positions.float()[:, 1:]
    width = patches.shape[-1]
    scale = (grid + 0.1) / _DINOV2_GRID
    resized = torch.nn.functional.interpolate(
        patches.reshape(1, _DINOV2_GRID, _DINOV2_GRID, width).permute(0, 3, 1, 2),
        scale_factor=(scale, scale),
        mode="bicubic",
    )
    patches = resized.permute(0, 2, 3, 1).reshape(1, grid * grid, width)
    return {**state, "pos_embed": torch.cat([token, patches], dim=1)}


def listed_name(word: str) -> str | None:
    """Give the whole name, with that of the weights, of what is in timm's list; else None."""
    try:
        found = _published(word) if _LISTED.fullmatch(word) else None
    except InputError:
        return None
    if found is None:
        return None
    return ".".join(filter(None, (found["architecture"], found.get("tag"))))


def _published(name: str) -> dict[str, Any]:
    """What timm's list has of a network.

    Raises:
        InputError: It is not in the list, with or without the weights that are named.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = timm.list_models(f"*{architecture}*")[:3] if architecture else []
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InputError(
            f"no image model {name!r}: it is dinov2, a name of timm's list, or a folder in timm's "
            f"format{hint}"
        )
    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError:
        found = None
    if found is None or (tag and found.tag != tag):
        tags = [each for each in timm.list_pretrained(f"{architecture}.*")]
        raise InputError(f"timm has no weights {tag!r} of {architecture}; it has {', '.join(tags)}")
    settings: dict[str, Any] = found.to_dict()
    return {**settings, "architecture": architecture}


def _read_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments and the settings of a folder that timm has written for the Hub.

    Raises:
        InputError: It has no config.json, or one of another kind.
    """
    import timm

    file = folder / "config.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        architecture = content["architecture"]
        settings = dict(content.get("pretrained_cfg") or {})
        arguments = dict(content.get("model_args") or {})
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no folder of an image model: it has no config.json; timm writes it with "
            "model.safetensors (timm.models.save_for_hf)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{file}: not a configuration of timm: {error!r}") from None
    if not isinstance(architecture, str) or not timm.is_model(architecture):
        raise InputError(f"{file}: timm has no architecture {architecture!r}")
    if refused := [key for key in arguments if _REFUSED.search(str(key))]:
        raise InputError(f"{file}: model_args has {refused[0]!r}, which is no part of a network")
    arguments.pop("num_classes", None)
    return arguments, {**settings, "architecture": architecture}


def _build(card: Card) -> Any:
    """The network of a card with its weights, on the CPU; no code of the weights' file runs."""
    from timm.models import load_state_dict

    try:
        state = card.adapt(load_state_dict(str(card.file), device="cpu", weights_only=True))
        # Without values of its own it is built in no time; those that no file holds take some.
        for device in ("meta", "cpu"):
            network = _load(_blank(card, device), state, assign=device == "meta")
            if not any(x.is_meta for x in (*network.parameters(), *network.buffers())):
                break
    except InputError:
        raise
    except Exception as error:  # junk raises anything from IndexError to SafetensorError
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        # timm raises its own error, with the advice to execute them.
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in reason:
            reason = "it holds pickled code or objects, which are never executed"
        raise InputError(
            f"{card.file}: these weights do not load into {card.architecture}: {reason}"
        ) from None
    return network.float()


def _blank(card: Card, device: str) -> Any:
    """The network of a card before it has weights."""
    import timm
    import torch

    try:
        with torch.device(device):  # whatever a training loop's default is
            return timm.create_model(
                card.architecture, pretrained=False, num_classes=0, **card.arguments
            )
    except Exception as error:  # timm passes on whatever wrong arguments run into
        raise InputError(f"{card.name}: timm cannot build this network: {error}") from None


def _load(network: Any, state: _State, *, assign: bool) -> Any:
    """Give a network its weights; those of a classifier are left out.

    Raises:
        ValueError: They are not all that it has, or more.
    """
    # Some families rename or drop entries of older files in a function of this name.
    family: Any = sys.modules[type(network).__module__]
    if hasattr(family, "checkpoint_filter_fn"):
        state = family.checkpoint_filter_fn(state, network)
    heads = network.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    kept = {
        key: value
        for key, value in state.items()
        if not any(key.startswith(f"{head}.") for head in heads)
    }
    lost, more = network.load_state_dict(kept, strict=False, assign=assign)
    if lost or more:
        raise ValueError(f"they lack {lost[0]}" if lost else f"they have {more[0]}, it has not")
    return network
