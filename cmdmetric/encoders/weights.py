"""Which network a name means, and where its weights are: a file, a folder, a cache, a download."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import PIL

from cmdmetric.encoders.names import BUNDLED, DEFAULT_MODEL
from cmdmetric.encoders.tokens import tokeniser_of
from cmdmetric.errors import InputError, NotAtHandError
from cmdmetric.files import (
    cache_folder,
    download,
    expanded,
    forbidden,
    named_path,
    reading,
    sha256_of,
)
from cmdmetric.metrics import Provenance
from cmdmetric.protocol import Protocol
from cmdmetric.terminal import tell

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
#: The option that gives the weights of networks beside CMD's encoder.
IMAGE_WEIGHTS = "--image-weights"
#: Arithmetic of an encoder's network.
Dtype = Literal["fp32", "bf16"]
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
#: Weights in a model folder, the first that is there, as open_clip prefers them.
_FOLDER_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)
#: A model of timm's own list; what has a colon or a slash in it is looked for elsewhere.
_TIMM_NAME = re.compile(r"[\w.-]+")
#: Of weights that many ask for.
_SIZES = {DEFAULT_MODEL: "354 MB"}  # 353,976,522 bytes
#: sha256 (hex) of a file: read, or remembered.
Digest: TypeAlias = Callable[[Path], str]


@dataclass(frozen=True)
class Checkpoint:
    """An architecture and the file that holds its weights."""

    #: As it stands in a signature, e.g. "ViT-B-32/openai".
    label: str
    #: What open_clip builds the network and the tokeniser from: a name, or "local-dir:FOLDER".
    architecture: str
    #: The configuration of the network (open_clip's model_cfg).
    config: dict[str, Any]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: Path
    #: sha256 of the file, in hex.
    sha256: str

    @property
    def architecture_sha256(self) -> str:
        """sha256 (hex) of the configuration, in canonical JSON."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()

    @property
    def image_size(self) -> int:
        """The side of the square image that the network takes, in pixels.

        Raises:
            InputError: It takes images that are not square, or its configuration gives no size.
        """
        size = self.config["vision_cfg"].get("image_size", 224)  # open_clip's default
        sides = size if isinstance(size, (list, tuple)) else (size, size)
        if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
            raise InputError(f"{self.label}: its image_size is {size!r}, no number of pixels")
        if sides[0] != sides[1]:
            raise InputError(f"{self.label} takes images of {sides[1]}x{sides[0]}, not square")
        side: int = sides[0]
        return side

    def provenance(
        self, protocol: Protocol, side: str, source: str, dtype: Dtype = "fp32"
    ) -> Provenance:
        """What is stored with moments of its features; side is "image" or "text"."""
        return Provenance(
            protocol=protocol,
            model=self.label,
            weights=self.sha256,
            architecture=self.architecture_sha256,
            dtype=dtype,
            side=side,
            source=source,
            tokeniser=self.tokeniser if side == "text" else "none",
            pillow=PIL.__version__,
        )

    @property
    def tokeniser(self) -> str:
        """What its tokeniser is known by: `cmdmetric.encoders.tokens.tokeniser_of`."""
        return tokeniser_of(self.architecture, self.config)

    @property
    def is_torchscript(self) -> bool:
        """Whether the file is an archive of the kind that OpenAI published."""
        return _is_torchscript(self.file)


def _refuse_two_meanings(model: str) -> None:
    """Raise InputError for a name of ours or of open_clip's that a folder has as well."""
    if not named_path(model).is_dir():
        return
    library = find_spec("open_clip")  # a list of files: the library itself takes seconds to import
    assert library is not None and library.origin is not None
    config = Path(library.origin).parent / "model_configs" / f"{model.partition('/')[0]}.json"
    if model in BUNDLED:
        whose = "a bundled encoder"
    elif config.is_file():
        whose = "an encoder of open_clip's list"
    else:
        return
    raise InputError(f"{model}: a folder is called so, and {whose}: ./{model} is the folder")


def find_checkpoint(
    model: str | Path | Checkpoint | None,
    weights: str | Path | None = None,
    digest: Digest = sha256_of,
    option: str = "--weights",
) -> Checkpoint:
    """Resolve what a user calls a model.

    model is "scenes-toy" (bundled), a folder in open_clip's format, NAME of open_clip's list or
    NAME/TAG with one of its pretrained tags; None is DEFAULT_MODEL. weights is a file that takes
    the place of the model's own: safetensors, a state dict, or OpenAI's TorchScript archive.
    Otherwise caches are searched, and what they lack is downloaded, after saying so. digest gives
    the sha256 of a file, option is the one that weights are given by. A Checkpoint is itself.
    Folders are looked up without importing torch.

    Raises:
        InputError: The name is unknown, a folder is called by it too, or the weights cannot be had.
    """
    if isinstance(model, Checkpoint):
        return model
    name = name_of(model)
    if weights is not None and not (weights := named_path(weights)).is_file():
        raise InputError(f"{weights}: no such weights file")
    if isinstance(model, str):
        _refuse_two_meanings(model)
    folder = BUNDLED.get(name) or named_path(name)
    if folder.is_dir():
        return _from_folder(folder, weights, digest)
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    given = name
    name, _, tag = name.partition("/")
    if name not in open_clip.list_models():
        raise InputError(_unknown_model(given))
    tags = list_pretrained_tags_by_model(name)
    if tag and tag not in tags:
        raise InputError(
            f"open_clip knows no weights {tag!r} for {name}; it knows {', '.join(tags) or 'none'}"
        )
    if weights is not None:
        return _from_file(name, tag, Path(weights), digest)
    if not tag:
        if "openai" not in tags:
            raise InputError(
                f"{name} needs weights: --weights FILE, or --model {name}/TAG with one of "
                f"{', '.join(tags) or '(none)'}"
            )
        tag = "openai"
    published = get_pretrained_cfg(name, tag)
    file = _find_published(name, tag, published, digest, option)
    return _checkpoint(name, tag, published, file, digest(file))


def name_of(model: str | Path | None) -> str:
    """A model as it is named: the default one where none is."""
    return str(model) if model is not None else DEFAULT_MODEL


def _from_folder(folder: Path, weights: str | Path | None, digest: Digest) -> Checkpoint:
    config_file = folder / "open_clip_config.json"
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        network = config["model_cfg"]
        network["text_cfg"], network["vision_cfg"]
        preprocess = config.get("preprocess_cfg", {})
        mean = _channels(preprocess.get("mean", OPENAI_MEAN))
        std = _channels(preprocess.get("std", OPENAI_STD))
        if min(std) <= 0:
            raise ValueError(f"the std is {std}, it must be positive")
        _refuse_remote(network)
    except FileNotFoundError:
        raise InputError(
            f"{folder}: no model folder: it has no open_clip_config.json; a folder in open_clip's "
            "format holds that and open_clip_model.safetensors"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{config_file}: not a configuration of open_clip: {error!r}") from None
    found = weights or _weights_in(folder)
    if found is None:
        raise InputError(f"{folder}: it holds no weights (open_clip_model.safetensors)")
    _refuse_torchscript(Path(found), "none is published for a model folder")
    return Checkpoint(
        label=folder.resolve().name,
        architecture=f"local-dir:{folder}",
        config=network,
        mean=mean,
        std=std,
        file=Path(found),
        sha256=digest(Path(found)),
    )


def _refuse_remote(network: Any) -> None:
    """Raise ValueError where parts of a folder's network would be fetched from elsewhere.

    open_clip takes the tokeniser of a folder from that folder, whatever its configuration names.
    """
    parts = network if isinstance(network, dict) else dict(enumerate(network))
    for key, value in parts.items():
        if isinstance(value, (dict, list)):
            _refuse_remote(value)
        if (key == "timm_model_name" and value and not _TIMM_NAME.fullmatch(str(value))) or (
            key == "hf_model_name" and value and not os.path.isdir(str(value))
        ):
            raise ValueError(
                f"{key} is {value!r}: what would be fetched from elsewhere is no part of a folder"
            )


def _channels(values: Any) -> tuple[float, float, float]:
    """One number for each of red, green and blue.

    Raises:
        ValueError, TypeError: The value is none of these.
    """
    red, green, blue = values
    return float(red), float(green), float(blue)


def _weights_in(folder: Path) -> Path | None:
    """The weights of a model folder, as open_clip finds them."""
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    endings = (".safetensors", ".bin", ".pth")
    others = sorted(path for path in folder.iterdir() if path.suffix in endings)
    # Among unusual names safetensors come first.
    return min(others, key=lambda path: path.suffix != ".safetensors", default=None)


def _from_file(name: str, tag: str, file: Path, digest: Digest) -> Checkpoint:
    from open_clip.pretrained import get_pretrained_cfg

    sha256 = digest(file)
    published = get_pretrained_cfg(name, tag or "openai")
    if published and sha256 == _openai_sha256(published):
        return _checkpoint(name, tag or "openai", published, file, sha256)
    _refuse_torchscript(file, f"OpenAI's {name} has {_openai_sha256(published) or 'none'}")
    # A tag given beside a file says what kind of weights the file holds, no more.
    kind = published if tag else {}
    return _checkpoint(name, "local", kind, file, sha256)


def _checkpoint(name: str, tag: str, published: dict[str, Any], file: Path, sha: str) -> Checkpoint:
    import open_clip

    config = dict(open_clip.get_model_config(name))
    if published.get("quick_gelu"):  # OpenAI's weights need it where the configuration says GELU
        config["quick_gelu"] = True
    return Checkpoint(
        label=f"{name}/{tag}",
        architecture=name,
        config=config,
        mean=tuple(published.get("mean", OPENAI_MEAN)),
        std=tuple(published.get("std", OPENAI_STD)),
        file=file,
        sha256=sha,
    )


def _openai_sha256(published: dict[str, Any]) -> str:
    url = published.get("url", "")
    return url.split("/")[-2] if "openaipublic" in url else ""


def _find_published(
    name: str, tag: str, published: dict[str, Any], digest: Digest, option: str
) -> Path:
    """The file of a pretrained tag: from the caches (ours, clip's, the Hub's), or fetched."""
    from huggingface_hub import try_to_load_from_cache

    sha256, url = _openai_sha256(published), published.get("url", "")
    looked: list[str] = []
    if sha256:
        caches = (cache_folder() / "weights", expanded("~") / ".cache" / "clip")
        for candidate in (folder / url.rsplit("/", 1)[-1] for folder in caches):
            looked.append(str(candidate))
            if os.path.isfile(candidate):
                if digest(candidate) == sha256:
                    return candidate
                tell(f"warning: {candidate} has a wrong sha256: ignored")
    repository, _, file = published.get("hf_hub", "").rpartition("/")
    for hub_file in (file,) if file else _HUB_FILES:
        looked.append(f"{hub_file} of {repository} in the Hub's cache")
        cached = try_to_load_from_cache(repository, hub_file) if repository else None
        if isinstance(cached, str):
            return Path(cached)
    try:
        if reason := forbidden():
            raise InputError(reason)
        target = cache_folder() / "weights"
        if sha256:
            return download(url, target / url.rsplit("/", 1)[-1], sha256, f"weights {name}/{tag}")
        names = (file,) if file else _HUB_FILES
        return _download_from_hub(repository, names, target, f"weights {name}/{tag}")
    except InputError as error:
        wanted = url.rsplit("/", 1)[-1] if sha256 else file or " or ".join(_HUB_FILES)
        size = _SIZES.get(f"{name}/{tag}")
        lines = [
            f"the weights of {name}/{tag} are not at hand",
            f"  file        {wanted}{f', {size}' if size else ''}",
            *([f"  sha256      {sha256}"] if sha256 else []),
            *(f"  looked for  {place}" for place in looked),
            f"  download    {error}",
            "Three ways to provide them:",
            f"  give the file with {option} FILE",
            f"  put it at {looked[0]}" if sha256 else f"  have {looked[0]}",
            "  run once with a connection, so that they are downloaded",
        ]
        if option == "--weights":  # of CMD's encoder, in whose place another will do
            lines.append(
                "To try things without them: --model scenes-toy, the bundled toy, whose numbers "
                "mean nothing"
            )
        raise NotAtHandError("\n".join(lines)) from None


def tell_of_hub_parts(checkpoint: Checkpoint) -> None:
    """Announce what open_clip itself fetches for a network of its list: a tokeniser, a text tower.

    Raises:
        NotAtHandError: It is not in the Hub's cache, and nothing may be downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    if checkpoint.architecture.startswith("local-dir:"):
        return  # all of it is in the folder
    text = checkpoint.config.get("text_cfg", {})
    names = (text.get("hf_tokenizer_name"), text.get("hf_model_name"))
    for repository in dict.fromkeys(name for name in names if name):
        files = ("tokenizer_config.json", "config.json")
        if any(isinstance(try_to_load_from_cache(repository, file), str) for file in files):
            continue
        where = f"https://huggingface.co/{repository}"
        if reason := forbidden():
            raise NotAtHandError(f"{checkpoint.label} needs the tokeniser at {where}: {reason}")
        tell(f"downloading the tokeniser of {checkpoint.label} (a few MB) from {where}")


def find_on_hub(repository: str, names: tuple[str, ...], what: str) -> Path:
    """Find a file of a repository of the Hub: in the Hub's cache, in ours, or by a download.

    Args:
        repository: Its name.
        names: What the file may be called; the first that is there is taken.
        what: What it is, as messages say it.

    Raises:
        NotAtHandError: It is nowhere, and cannot be downloaded.
    """
    from huggingface_hub import try_to_load_from_cache

    target = cache_folder() / "weights"
    looked = []
    for name in names if repository else ():
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
        ours = target / f"{repository.replace('/', '--')}--{name}"
        if ours.is_file():
            return ours
        looked.append(f"{name} of {repository} in the Hub's cache")
    try:
        if not repository:
            raise InputError("nobody publishes them on the Hub")
        if reason := forbidden():
            raise InputError(reason)
        return _download_from_hub(repository, names, target, what)
    except InputError as error:
        lines = [
            f"the {what} are not at hand",
            *(f"  looked for  {place}" for place in looked),
            f"  download    {error}",
            f"Give their file with {IMAGE_WEIGHTS} FILE, or run once with a connection, so that "
            "they are downloaded",
        ]
        raise NotAtHandError("\n".join(lines)) from None


def _download_from_hub(repository: str, names: tuple[str, ...], target: Path, what: str) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    reasons = []
    for name in names:
        url = hf_hub_url(repository, name)
        try:
            metadata = get_hf_file_metadata(url)
        except Exception as error:  # the Hub's client raises its HTTP library's errors, which vary
            reasons.append(f"{url} does not answer: {str(error).splitlines()[0]}")
            continue
        # Large files of the Hub carry their sha256 as the entity tag.
        path = target / f"{repository.replace('/', '--')}--{name}"
        return download(url, path, str(metadata.etag), what)
    raise InputError("; ".join(reasons))


def _refuse_torchscript(file: Path, published: str) -> None:
    if _is_torchscript(file):
        raise InputError(
            f"{file}: a TorchScript archive can run code, so only the published ones are opened: "
            f"its sha256 is {sha256_of(file)}, {published}. Save the weights as safetensors instead"
        )


def _is_torchscript(file: Path) -> bool:
    with reading(file, "archive of weights"):
        if not zipfile.is_zipfile(file):
            return False
        with zipfile.ZipFile(file) as archive:
            return any("/code/" in name for name in archive.namelist())


def _nearest(name: str) -> list[str]:
    """The names of open_clip's list that are meant, or at least near, in its spelling.

    clip writes ViT-B/32, transformers openai/clip-vit-base-patch32, and open_clip's own
    checkpoints lie at hf-hub:ORGANISATION/MODEL, which its list has as NAME/TAG.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    hub = name.removeprefix("hf-hub:")
    spelt = re.fullmatch(r"openai/clip-vit-(base|large)-patch(\d+)(?:-(336))?", hub.lower())
    if spelt:
        size, patch, pixels = spelt.groups()
        found = f"ViT-{size[0].upper()}-{patch}{f'-{pixels}' if pixels else ''}"
        return [f"{found}/openai"]
    if "/" in hub:
        tagged = [
            f"{model}/{tag}"
            for model, tag in open_clip.list_pretrained()
            if get_pretrained_cfg(model, tag).get("hf_hub", "").strip("/") == hub
        ]
        if tagged:
            return tagged
    known = [*open_clip.list_models(), *BUNDLED]
    lower = {each.lower(): each for each in known}
    for guess in (name.replace("/", "-"), name.partition("/")[0], hub.rpartition("/")[2]):
        if guess.lower() in lower:
            return [lower[guess.lower()]]
    return get_close_matches(name.replace("/", "-"), known, n=3)


def _unknown_model(name: str) -> str:
    near = _nearest(name)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return (
        f"no model {name!r}: it is {', '.join(BUNDLED)} (bundled), a name of open_clip's list "
        f"(NAME or NAME/TAG), or a folder in open_clip's format{hint}"
    )
