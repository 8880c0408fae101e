"""Images at URLs: folders, patterns, zips and single files; streamed, nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cmdmetric.errors import InputError
from cmdmetric.files import ahead, remote
from cmdmetric.inputs import archives
from cmdmetric.inputs.image_set import ImageItem, ImageSet, image_names
from cmdmetric.inputs.shards import Shard

#: Requests under way at once: each waits for the network most of the time.
REQUESTS = 32


def open_url(url: str) -> ImageSet:
    """The images at a URL, as `cmdmetric.inputs.open_images` says; tars are not its business.

    Raises:
        RemoteError: Nothing is there.
        InputError: What is there is no image and holds none.
    """
    if url.lower().endswith((".npy", ".npz")):
        raise InputError(f"{url}: arrays of images are read from local files only")
    if url.lower().endswith(".zip"):
        file = remote.open_stream(url)
        return remote.attempt(url, lambda: archives.open_zip(url, file))
    folder, listed = remote.list_files(url)
    if remote.is_glob(url) or listed:
        verb = "matches" if remote.is_glob(url) else "holds"
        return _RemoteFiles(url, folder, image_names(url, listed, verb))
    remote.check(url)
    folder, _, name = url.rpartition("/")
    return _RemoteFiles(url, folder, image_names(url, [name], "is"))


class _RemoteFiles(ImageSet):
    """Files below a folder, by names relative to it."""

    def __init__(self, source: str, folder: str, names: Sequence[str]) -> None:
        super().__init__(source, self._fetched, names)
        self._folder = folder

    def shard(self, shard: Shard) -> ImageSet:
        """One share of it: nothing else is fetched."""
        mine = shard.range(len(self.names or ()))
        return _RemoteFiles(self.source, self._folder, (self.names or ())[mine.start : mine.stop])

    def _fetched(self) -> Iterator[ImageItem]:
        fs, root = remote.filesystem(self._folder)
        for name, content in ahead(
            self.names or (),
            lambda name: fs.cat_file(f"{root.rstrip('/')}/{name}"),
            threads=REQUESTS,
            count=2 * REQUESTS,
        ):
            yield archives.bytes_item(name, content.result)
