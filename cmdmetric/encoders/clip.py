"""The encoder: a CLIP of open_clip with a protocol applied to it. Only this module runs torch."""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.factory import load_state_dict

from cmdmetric.encoders.device import (
    SharedChange,
    choose_device,
    exact_float32,
    has_bfloat16,
)
from cmdmetric.encoders.tokens import WordByWord, are_cut, cut_words
from cmdmetric.encoders.towers import encode_image, encode_text, fold_quick_gelu, reading_order
from cmdmetric.encoders.weights import Checkpoint, Dtype, find_checkpoint, tell_of_hub_parts
from cmdmetric.errors import InputError
from cmdmetric.metrics import Provenance
from cmdmetric.protocol import Protocol, get_protocol

#: Captions in a batch: they are much smaller than images.
TEXT_BATCH_SIZE = 128
#: Arithmetic of the network: as it was trained, or the half-length type that some processors
#: multiply at twice the speed or more.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
#: Buffers that OpenAI's archives hold beside the weights.
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")


class Encoder:
    """Images and captions to feature vectors.

    >>> encoder = Encoder("scenes-toy")
    >>> encoder.encode_texts(["a red circle on a grey background"]).shape
    (1, 64)
    """

    def __init__(
        self,
        model: str | Path | Checkpoint | None = None,
        weights: str | Path | None = None,
        protocol: Protocol | str | Path = "grgan",
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        dtype: Dtype = "fp32",
    ) -> None:
        """Build the network and load its weights.

        model and weights are as in `cmdmetric.encoders.weights.find_checkpoint`; protocol is one or
        its name; device is torch's, by default a GPU where there is one; batch_size is for images
        and changes the speed only. dtype is the network's arithmetic: "bf16" is faster where the
        processor has units for it, and its features do not meet those of "fp32" (docs/speed.md).
        Features are float32 arrays in either.

        Raises:
            InputError: The model, protocol, device or dtype is unknown, or the weights cannot be
                had, read, or fitted into the architecture.
        """
        if dtype not in DTYPES:
            raise InputError(f"dtype is {dtype!r}, it must be one of {', '.join(DTYPES)}")
        if type(batch_size) is not int or batch_size < 1:
            raise InputError(f"batch_size is {batch_size!r}, it must be a whole number, at least 1")
        self.protocol = get_protocol(protocol)
        self.device = choose_device(device)
        self.batch_size = batch_size
        self.dtype = dtype
        if dtype == "bf16" and self.device.type == "cpu" and not has_bfloat16():
            warnings.warn(
                "this CPU has no bfloat16 arithmetic: bf16 is emulated and slower than fp32",
                UserWarning,
                stacklevel=2,
            )
        self.checkpoint = find_checkpoint(model, weights)
        tell_of_hub_parts(self.checkpoint)
        self._model = build_network(self.checkpoint)
        self._model.eval().requires_grad_(False)
        fold_quick_gelu(self._model)
        self._model.to(self.device, DTYPES[dtype])
        self._tokenizer: Any = open_tokenizer(self.checkpoint)
        self._words = WordByWord(self._tokenizer)
        self._context_length = int(self._model.context_length)
        if self._context_length < 3:
            raise InputError(
                f"{self.checkpoint.label} reads {self._context_length} tokens of a caption, but "
                "the start and the end of the text take two"
            )
        #: The side of the square image that the network takes, in pixels.
        self.image_size: int = self.checkpoint.image_size
        self._mean, self._std = (
            torch.tensor(colour, device=self.device).view(3, 1, 1)
            for colour in (self.checkpoint.mean, self.checkpoint.std)
        )

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the weights file."""
        return self.checkpoint.sha256

    def provenance(self, side: str, source: str) -> Provenance:
        """What is stored with moments of this encoder's features; side is "image" or "text"."""
        return self.checkpoint.provenance(self.protocol, side, source, self.dtype)

    def __deepcopy__(self, memo: object) -> Encoder:
        """Itself: nothing in it changes, and torchmetrics copies a metric with what it holds."""
        return self

    def build(self) -> Encoder:
        """Itself: what `cmdmetric.features.lazy_encoder.LazyEncoder` gives."""
        return self

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (n, d) of pixels (n, image_size, image_size, 3) from `preprocess.to_pixels`."""
        with exact_float32(self.device):
            x = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float() / 255
            if self.protocol.normalise == "encoder":
                x = (x - self._mean) / self._std
            x = x.to(DTYPES[self.dtype])
            if isinstance(self._model, open_clip.CLIP):
                features = encode_image(self._model, x)
            else:
                features = self._model.encode_image(x)
            return self._scaled(features, self.protocol.image_scale)

    def tokenise(self, texts: Sequence[str]) -> tuple[torch.Tensor, NDArray[np.bool_]]:
        """Tokenise captions that the protocol has cleaned.

        Returns:
            Token indices (n, context) int64, and (n,) which captions were too long and cut. A cut
            caption keeps its end-of-text token.
        """
        cleaned = [cut_words(self.protocol.clean(text), self._context_length) for text in texts]
        if not isinstance(self._tokenizer, open_clip.SimpleTokenizer):
            with torch.device("cpu"):
                tokens = self._tokenizer(cleaned, context_length=self._context_length)
            return tokens, np.array(are_cut(self._tokenizer, cleaned, self._context_length), bool)
        start, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        tokens = np.zeros((len(cleaned), self._context_length), np.int64)
        truncated = np.zeros(len(cleaned), bool)
        for i, (row, text) in enumerate(zip(tokens, cleaned, strict=True)):
            words = self._words.encode(text)
            truncated[i] = len(words) > self._context_length - 2
            words = words[: self._context_length - 2]
            row[: len(words) + 2] = start, *words, end
        return torch.from_numpy(tokens), truncated

    def encode_tokens(
        self, tokens: torch.Tensor
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Encode token indices (n, context) from `tokenise`, in the order that takes least time.

        Yields:
            The numbers of the rows (b,) in a batch, and their features (b, d).
        """
        # Of another tokeniser the end of text need not be the highest index.
        ours = isinstance(self._model, open_clip.CLIP) and isinstance(
            self._tokenizer, open_clip.SimpleTokenizer
        )
        encode = functools.partial(encode_text, self._model) if ours else self._model.encode_text
        for batch in reading_order(tokens).split(TEXT_BATCH_SIZE):
            with exact_float32(self.device):
                encoded = encode(tokens[batch].to(self.device))
                features = self._scaled(encoded, self.protocol.text_scale)
            yield batch.numpy(), features

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Features (n, d) of captions, in their order."""
        tokens, _ = self.tokenise(texts)
        rows, features = zip(*self.encode_tokens(tokens), strict=True)
        return np.concatenate(features)[np.argsort(np.concatenate(rows))]

    def _scaled(self, features: torch.Tensor, scale: float) -> NDArray[np.float32]:
        features = features.float()
        unit = features / features.norm(dim=-1, keepdim=True)
        scaled: NDArray[np.float32] = (unit * scale).cpu().numpy()
        if not np.isfinite(scaled).all():
            raise InputError(
                f"{self.checkpoint.file}: these weights give features that are not finite"
            )
        return scaled


def build_network(checkpoint: Checkpoint) -> open_clip.CLIP:
    """The network of a checkpoint with its weights, in float32 on the CPU.

    Raises:
        InputError: open_clip cannot build the network, or the file does not fit it.
    """
    try:
        # open_clip warns that there are no weights yet.
        with _quiet, torch.device("cpu"):
            model = open_clip.create_model(
                checkpoint.architecture,
                load_weights=False,
                force_quick_gelu=checkpoint.config.get("quick_gelu", False),
                pretrained_text=False,
                pretrained_image=False,
            )
    except Exception as error:  # open_clip passes on whatever a wrong configuration runs into
        raise InputError(
            f"{checkpoint.architecture}: open_clip cannot build this model: {error}"
        ) from None
    try:
        if checkpoint.is_torchscript:  # opened only since its sha256 is the published one
            state = torch.jit.load(checkpoint.file, map_location="cpu").state_dict()
            for key in _OPENAI_EXTRAS:
                state.pop(key, None)
            model.load_state_dict(state)
        else:
            with torch.device("cpu"):  # safetensors would load to a training loop's default device
                _refuse_other_positions(model, checkpoint.file)
                open_clip.load_checkpoint(model, str(checkpoint.file), weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{checkpoint.file}: not a state dict: it holds pickled code or objects, which are "
            "never executed. Save the weights as safetensors or a plain state dict"
        ) from None
    except Exception as error:  # junk raises anything from IndexError to SafetensorError
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{checkpoint.file}: these weights do not load into {checkpoint.label}: {reason[:600]}"
        ) from None
    return model


def _refuse_other_positions(model: torch.nn.Module, file: Path) -> None:
    """Raise ValueError for position embeddings of another size, which open_clip interpolates."""
    if file.suffix in (".npz", ".npy"):  # big_vision's, which it converts
        return
    theirs, ours = load_state_dict(str(file), weights_only=True), model.state_dict()
    for key in ours.keys() & theirs.keys():
        if key.endswith("positional_embedding") and ours[key].shape != theirs[key].shape:
            raise ValueError(
                f"{key} is {tuple(theirs[key].shape)} in the file and {tuple(ours[key].shape)} in "
                "the network: it is of another image size or context length"
            )


def open_tokenizer(checkpoint: Checkpoint) -> Any:
    """Give the tokeniser of a checkpoint, as open_clip builds it.

    Raises:
        InputError: It cannot be had, or needs a library that is not there.
    """
    try:
        with _quiet:
            if checkpoint.tokeniser == "CLIP":  # those of others have files, which may change
                return _clip_tokenizer(checkpoint.architecture, checkpoint.architecture_sha256)
            return open_clip.get_tokenizer(checkpoint.architecture)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{checkpoint.label}: its tokeniser needs {error.name}, which is not installed: "
            "pip install 'cmdmetric[transformers]'"
        ) from None
    except Exception as error:  # tokenisers of other towers come from the Hub, with its errors
        raise InputError(f"{checkpoint.label}: no tokeniser for this model: {error}") from None


@functools.lru_cache(maxsize=4)
def _clip_tokenizer(architecture: str, _config: str) -> Any:
    """open_clip's own tokeniser, which takes half a second to build, once for a configuration."""
    return open_clip.get_tokenizer(architecture)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Without open_clip's messages on the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


_quiet = SharedChange(_without_log)
