"""DAMSM, the matcher of AttnGAN (Xu et al. 2018, section 3.2) and of DM-GAN.

A bidirectional LSTM encodes captions; a convolutional network (`damsm_images`) and two projections
encode images. Trained, as the ITM is, by the sentence and the word loss, and then frozen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from grgan_ref.config import Config
from grgan_ref.data import Tokens
from grgan_ref.errors import GrganError
from grgan_ref.files import fingerprint_of
from grgan_ref.matching.damsm_images import InceptionNetwork, SmallNetwork
from grgan_ref.matching.vocabulary import Vocabulary


class TextEncoder(nn.Module):
    """Word numbers (B, L) and lengths (B,) -> sentence (B, E) and words (B, E, L).

    E / 2 dimensions read forwards, E / 2 backwards: a word knows the whole caption. The sentence
    is the last state of both; slots behind the caption are zero.
    """

    def __init__(self, vocabulary: int, word_dim: int, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, word_dim)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(word_dim, embedding_dim // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def forward(self, numbers: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The sentence (B, E) and the words (B, E, L) of word numbers (B, L)."""
        words = self.dropout(self.embedding(numbers))
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=numbers.shape[1])
        return last.transpose(0, 1).flatten(1), states.transpose(1, 2)


class DAMSM(nn.Module):
    """Text encoder, image network, and the projections of its features to E dimensions.

    It has what the trainings ask of a matcher; `itm.ITM` is the other one.
    """

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__()
        options, dim = config.damsm, config.model.embedding_dim
        if dim % 2:
            raise GrganError(
                f"model.embedding_dim is {dim}; DAMSM reads both ways and needs it even"
            )
        self.vocabulary, self.gradient_clip = vocabulary, options.gradient_clip
        self.image_size = options.image_size
        self.text = TextEncoder(len(vocabulary), options.word_dim, dim, options.dropout)
        network = InceptionNetwork() if options.image_network == "inception-v3" else SmallNetwork()
        self.network = network
        self.region = nn.Conv2d(network.region_dim, dim, 1, bias=False)
        self.image = nn.Linear(network.vector_dim, dim)
        nn.init.uniform_(self.region.weight, -0.1, 0.1)
        nn.init.uniform_(self.image.weight, -0.1, 0.1)

    @property
    def stored(self) -> nn.Module:
        """What a model folder and a checkpoint keep: everything."""
        return self

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, s, s) in [-1, 1] -> regions (B, E, H, H') and image code (B, E)."""
        size = (self.image_size, self.image_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=True)
        regions, vector = self.network(images)
        return self.region(regions), self.image(vector)

    def encode_captions(
        self, captions: Sequence[str], slots: int, pretraining: bool = False
    ) -> tuple[Tokens, Tensor, Tensor]:
        """B captions to tokens, sentence (B, E) and words (B, E, slots)."""
        tokens = self.vocabulary.tokenise(captions, slots).to(self.image.weight.device)
        return tokens, *self.text(tokens.tokens, tokens.lengths)

    def clip_gradient(self) -> None:
        """Shorten the text encoder's gradient, as recurrent networks need it."""
        nn.utils.clip_grad_norm_(self.text.parameters(), self.gradient_clip)

    def fingerprint(self) -> str:
        """sha256 of all weights and of the vocabulary, in hexadecimal."""
        return fingerprint_of(self.state_dict(), "\n".join(self.vocabulary.words))
