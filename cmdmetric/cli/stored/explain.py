"""The command `cmdmetric explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain as told, give, pass_options

if TYPE_CHECKING:
    from cmdmetric.scoring import EncodingOptions


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric explain mine.json theirs.json
  cmdmetric explain mine.json theirs.json --generated samples/ \\
    --captions captions.json --real photos/ --real-b other_photos/
""",
)
@click.argument("first", shell_complete=completion.paths)
@click.argument("second", shell_complete=completion.paths)
@click.option("--generated", metavar="PATH", shell_complete=completion.paths,
              help="The generated images of FIRST: with these the gap is attributed.")  # fmt: skip
@click.option("--captions", metavar="PATH", shell_complete=completion.paths,
              help="Its captions.")  # fmt: skip
@click.option("--real", metavar="PATH|NAME", shell_complete=completion.references,
              help="Its real images.")  # fmt: skip
@click.option("--model", metavar="FOLDER", shell_complete=completion.models,
              help="Its encoder, where that is no name.")  # fmt: skip
@click.option("--weights", metavar="FILE", shell_complete=completion.paths,
              help="The encoder's weights.")  # fmt: skip
@click.option("--protocol", metavar="FILE", shell_complete=completion.protocols,
              help="Its protocol, where that is one of your own.")  # fmt: skip
@click.option("--generated-b", metavar="PATH", shell_complete=completion.paths,
              help="The same of SECOND, where they differ.")  # fmt: skip
@click.option("--captions-b", metavar="PATH", shell_complete=completion.paths)
@click.option("--real-b", metavar="PATH|NAME", shell_complete=completion.references)
@click.option("--model-b", metavar="FOLDER", shell_complete=completion.models)
@click.option("--weights-b", metavar="FILE", shell_complete=completion.paths)
@click.option("--protocol-b", metavar="FILE", shell_complete=completion.protocols)
@pass_options
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", shell_complete=completion.paths,
              help="Write the JSON result to a file as well.")  # fmt: skip
@told
def explain(
    first: str, second: str, options: EncodingOptions, form: str, output: str | None, **paths: str
) -> None:
    """Why two scores of one model differ.

    FIRST and SECOND are what `cmd-score ... -o FILE` wrote. Their settings are compared in words.
    With the images at hand CMD is computed again while one thing after another is changed from the
    first setting to the second: what each change does adds up to the gap.
    """
    from cmdmetric.compare import AtHand, explain as explain_scores

    check_writable(output)
    one = AtHand(**{name: value for name, value in paths.items() if not name.endswith("_b")})
    two = AtHand(**{name[:-2]: value for name, value in paths.items() if name.endswith("_b")})
    result = explain_scores(first, second, one, two, **options)
    give(result.to_dict(), result.lines(), form, output)
