"""The command `cmdmetric prompts`."""

from __future__ import annotations

from pathlib import PurePath

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain, write
from cmdmetric.terminal import as_json, say, shown


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric prompts coco2014-val-30k captions_val2014.json -o prompts.json
  cmdmetric list prompts
""",
)
@click.argument("name", shell_complete=completion.prompt_sets)
@click.argument("captions", shell_complete=completion.paths)
@click.option("-o", "--output", required=True, metavar="FILE", shell_complete=completion.paths,
              help="The set of prompts (.json), in MS-COCO's layout.")  # fmt: skip
@explain
def prompts(name: str, captions: str, output: str) -> None:
    """Make a named set of prompts of your own captions of MS-COCO.

    The same captions give the same set everywhere. Images are painted from it and scored with it:
    signatures name the set, with the digest of what is in it.
    """
    from cmdmetric.inputs import prompt_set

    if PurePath(output).suffix.lower() != ".json":  # captions are read by their ending
        raise click.UsageError(f"{shown(output)}: a set of prompts is JSON: name a .json file")
    check_writable(output)
    made = prompt_set(name)
    content = made.of(captions)
    write(output, as_json(content) + "\n")
    digest = content["info"]["sha256"][:8]
    say(f"{made.name}@{digest}: {len(content['annotations']):,} prompts in {shown(output)}")
