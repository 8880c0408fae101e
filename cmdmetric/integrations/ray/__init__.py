"""CMD of a `ray.data.Dataset`: actors encode its blocks, and what is asked of features goes there.

`pip install 'cmdmetric[ray]'`. Ray reads (Parquet, WebDataset, images, object stores), schedules,
and starts anew what was lost; each actor builds the encoder once. What an actor makes of a block is
one value, so that a block that is encoded twice, because its actor died, counts once.
"""

from cmdmetric.integrations.ray.score import cmd

__all__ = ["cmd"]
