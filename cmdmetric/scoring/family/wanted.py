"""Which metrics a user wants, and what is said of the networks behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from cmdmetric.encoders import network_name
from cmdmetric.errors import InputError
from cmdmetric.files import named_path
from cmdmetric.inputs import ImageScores, Subset, read_image_scores
from cmdmetric.scoring.family.catalogue import metrics_named
from cmdmetric.scoring.family.inception import INCEPTION
from cmdmetric.scoring.family.metric import Better, Metric
from cmdmetric.scoring.family.of_network import metrics_of
from cmdmetric.scoring.family.scores import directions, refuse_taken_names
from cmdmetric.scoring.side import Source

#: The weights of networks beside CMD's encoder: a file where there is but one such network, texts
#: NAME=FILE, or a mapping of names to files.
ImageWeights: TypeAlias = "str | Path | Sequence[str | Path] | Mapping[str, str | Path] | None"


@dataclass(frozen=True)
class Wanted:
    """Which metrics are wanted beside CMD, and where the networks behind them come from.

    Attributes:
        metrics: The metrics.
        lenient: Whether a metric that lacks what it needs is left out with a warning.
        weights: By a network's name (`cmdmetric.encoders.IMAGE_NETWORKS`) the file of its weights,
            where it is not to find them itself.
        real: By a network's name the real side of its metrics, where that is another than CMD's:
            images, or a file of the moments of its features.
        by: The field of the captions, or the file of labels, that the score is told by slices of.
        train: The training images, where copies of these are looked for.
        scores: Numbers of single images, a set of them for each generator; none without any.
        better: Which way the columns of these are better, by their names.
        each: Whether what single images do to the numbers is to be kept.
        models: What the user calls the image networks of timm, by their names in results.
        subset: The part of the generated images that is drawn; None for all of them.
    """

    metrics: tuple[Metric, ...] = ()
    lenient: bool = False
    weights: Mapping[str, str | Path] = field(default_factory=dict)
    real: Mapping[str, Source] = field(default_factory=dict)
    by: str | Path | None = None
    train: Source | None = None
    scores: tuple[ImageScores, ...] = ()
    better: Mapping[str, Better | None] = field(default_factory=dict)
    each: bool = False
    models: Mapping[str, str | Path] = field(default_factory=dict)
    subset: Subset | None = None

    @classmethod
    def of(
        cls,
        metrics: str | Iterable[str],
        inception_weights: str | Path | None = None,
        inception_real: Source | None = None,
        *,
        image_model: str | Path | Sequence[str | Path] = (),
        image_weights: ImageWeights = None,
        by: str | Path | None = None,
        train: Source | None = None,
        scores: Sequence[Source] = (),
        score_columns: str | Iterable[str] | Mapping[str, str | None] = (),
        each: bool = False,
        num: int | None = None,
        seed: int | None = None,
    ) -> Wanted:
        """Take the words of a user.

        Args:
            metrics: Names as in "fid,clipscore", a list of them, or "all", of which what cannot be
                had is left out with a warning.
            inception_weights: A file; by default as `find_inception_weights` of
                `cmdmetric.encoders.inception` finds it.
            inception_real: The real side of FID and KID: images, or an .npz of Inception's moments
                in pytorch-fid's format.
            image_model: Image networks whose Fréchet distance, KID, MIND, precision to coverage and
                Vendi score are wanted: "dinov2", names of timm's list, or folders in timm's format.
            image_weights: The file of the weights of such a network; of several a mapping of their
                names, or of metrics', to files, or texts as in "clip-hessel=FILE".
            by: A field of the captions' records, "caption-length", or a file of columns id, label.
            train: The training images, in any form that images take.
            scores: For each generator the numbers of its images that others have computed: a file,
                a table or a mapping (`cmdmetric.inputs.read_image_scores`).
            score_columns: Which columns of these to take and which way each is better, as in
                "hps=higher,lpips=lower"; by default all columns of numbers.
            each: Whether what single images do to the numbers is to be kept, for a table of them.
            num: How many of the generated images are scored, drawn with their captions by a seed;
                None for all of them.
            seed: The seed, by default 0.

        Raises:
            InputError: There is no metric of such a name, what is given for a network has no metric
                that it would be for, or scores cannot be read.
        """
        found, lenient = metrics_named(metrics)
        weights = {} if inception_weights is None else {"inception": inception_weights}
        models = _image_models(image_model)
        known = {metric.name for metric in found}
        of_models = [metric for name in models for metric in metrics_of(name)]
        found = (*found, *(metric for metric in of_models if metric.name not in known))
        real = {} if inception_real is None else {"inception": inception_real}
        if (weights or real) and not any(metric.network == INCEPTION for metric in found):
            option = "--inception-real" if real else "--inception-weights"
            raise InputError(
                f"{option} was given, and no metric of Inception is wanted: name one, as in "
                "--metrics fid"
            )
        weights |= _image_weights(image_weights, found, models)
        better = directions(score_columns)
        if better and not scores:
            raise InputError("columns of scores were named, and no scores were given (--scores)")
        tables = tuple(read_image_scores(source, better) for source in scores)
        for table in tables:
            refuse_taken_names(table, found)
        subset = Subset.wanted(num, seed)
        return cls(found, lenient, weights, real, by, train, tables, better, each, models, subset)


def _image_models(given: str | Path | Sequence[str | Path]) -> dict[str, str | Path]:
    """What the user calls the image networks, by their names in results.

    Raises:
        InputError: One is neither a name nor a folder, or two would have one name.
    """
    named: tuple[object, ...] = (given,)
    if isinstance(given, Iterable) and not isinstance(given, str):
        named = tuple(given)
    models: dict[str, str | Path] = {}
    for model in named:
        if not isinstance(model, (str, Path)):
            raise InputError(
                f"image_model is {given!r}: it takes a name such as 'resnet50', a folder, or a "
                "list of these"
            )
        before = models.setdefault(name := network_name(model), model)
        if named_path(before).resolve() != named_path(model).resolve():
            raise InputError(
                f"{before} and {model} would both be called {name!r} in results: rename the folder "
                "of one, or score with one after the other"
            )
    return models


def _image_weights(
    given: ImageWeights, metrics: Sequence[Metric], models: Mapping[str, str | Path]
) -> dict[str, str | Path]:
    """The files of weights, by the networks that they are of.

    Args:
        given: What the user gives.
        metrics: The metrics that are wanted, of which some need networks.
        models: What the user calls the image networks, by their names in results.

    Raises:
        InputError: It is not said which network a file is of, or none of such a name is wanted.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = list(given.items())
    else:
        files = (given,) if isinstance(given, (str, Path)) else given
        pairs = [_named_file(file) for file in files]
    #: By each network a metric that needs it, by which users know it.
    networks: dict[str, str] = {}
    network_of = {str(model): name for name, model in models.items()}
    for metric in metrics:
        if metric.network is not None and metric.network != INCEPTION:
            networks.setdefault(metric.network, metric.name)
            network_of |= dict.fromkeys((metric.name, metric.network), metric.network)
    found: dict[str, str | Path] = {}
    for name, file in pairs:
        network = network_of.get(name)
        if not name and len(networks) == 1:
            (network,) = networks
        if network is None:
            raise InputError(_which_network(name, networks))
        if network in found:
            raise InputError(f"{network} was given two files of weights: {found[network]}, {file}")
        found[network] = file
    return found


def _named_file(given: str | Path) -> tuple[str, str | Path]:
    """Read NAME=FILE; without a name it is a file."""
    if not isinstance(given, str) or "=" not in given or named_path(given).is_file():
        return "", given
    name, _, file = given.partition("=")
    return name, file


def _which_network(name: str, networks: Mapping[str, str]) -> str:
    """Say how it is told which network a file of weights is of."""
    there = ", ".join(f"{network} ({metric})" for network, metric in networks.items())
    if not networks:
        wanted = "none is wanted: they are of an --image-model, or of a metric such as fd_dinov2"
    elif name:
        wanted = f"none called {name!r} is wanted; there is {there}"
    else:
        wanted = (
            f"{len(networks)} such models are wanted: name the one that a file is of, as in "
            f"--image-weights {next(iter(networks))}=FILE; there is {there}"
        )
    return f"weights of an image model were given (--image-weights), and {wanted}"
