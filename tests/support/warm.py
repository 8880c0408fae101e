"""What the commands that are forked find done: CLIP's tokeniser takes half a second to build."""

from cmdmetric.encoders.clip import open_tokenizer
from cmdmetric.encoders.weights import find_checkpoint

open_tokenizer(find_checkpoint("scenes-toy"))
