"""The metrics as pure functions of arrays and moments: numpy and scipy, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.metrics.clipscore import (
        WEIGHT as WEIGHT,
        clip_scores as clip_scores,
        pair_cosines as pair_cosines,
        ref_clip_scores as ref_clip_scores,
    )
    from cmdmetric.metrics.cmd import (
        QUANTITIES as QUANTITIES,
        CrossModelDistance as CrossModelDistance,
        cross_model_distance as cross_model_distance,
    )
    from cmdmetric.metrics.distance_influence import (
        Aligned as Aligned,
        DistanceInfluence as DistanceInfluence,
        End as End,
        Numbers as Numbers,
        Precision as Precision,
        aligned_influence as aligned_influence,
        centred as centred,
        curvature as curvature,
        frechet_influence as frechet_influence,
        harmonic as harmonic,
        influence_of_form as influence_of_form,
        influence_of_gap as influence_of_gap,
        precision_of as precision_of,
        quadratic as quadratic,
    )
    from cmdmetric.metrics.elsewhere import (
        Block as Block,
        Elsewhere as Elsewhere,
        Rows as Rows,
        blockwise as blockwise,
        row_by_row as row_by_row,
        slices as slices,
    )
    from cmdmetric.metrics.fid import DIMENSIONS as DIMENSIONS, fid_influence as fid_influence
    from cmdmetric.metrics.frechet import frechet_distance as frechet_distance
    from cmdmetric.metrics.inception import (
        SPLITS as SPLITS,
        inception_score as inception_score,
        inception_score_influence as inception_score_influence,
    )
    from cmdmetric.metrics.joint.cfid import (
        LEAST_PAIRS as LEAST_PAIRS,
        ConditionalInfluence as ConditionalInfluence,
        Regressed as Regressed,
        cfid_influence as cfid_influence,
    )
    from cmdmetric.metrics.joint.fjd import (
        caption_scale as caption_scale,
        fjd_influence as fjd_influence,
    )
    from cmdmetric.metrics.kernels.all_pairs import all_pairs as all_pairs
    from cmdmetric.metrics.kernels.cmmd import (
        SCALE as SCALE,
        SIGMA as SIGMA,
        cmmd_influence as cmmd_influence,
    )
    from cmdmetric.metrics.kernels.cosines import SINGLE as SINGLE, cosines as cosines
    from cmdmetric.metrics.kernels.kid import (
        SUBSET_SIZE as SUBSET_SIZE,
        clip_kid_influence as clip_kid_influence,
        clip_kid_of as clip_kid_of,
        kid_influence as kid_influence,
        kid_of_subsets as kid_of_subsets,
    )
    from cmdmetric.metrics.kernels.mmd import MMDInfluence as MMDInfluence, Products as Products
    from cmdmetric.metrics.mind import (
        PROJECTIONS as PROJECTIONS,
        SEED as SEED,
        mind_influence as mind_influence,
    )
    from cmdmetric.metrics.moments import (
        Moments as Moments,
        Provenance as Provenance,
        read_count as read_count,
        read_provenance as read_provenance,
        refuse_differences as refuse_differences,
    )
    from cmdmetric.metrics.neighbours.copies import (
        Memorisation as Memorisation,
        memorisation as memorisation,
    )
    from cmdmetric.metrics.neighbours.nearest import Sections as Sections
    from cmdmetric.metrics.neighbours.prdc import (
        NEIGHBOURS as NEIGHBOURS,
        Reached as Reached,
        prdc_scores as prdc_scores,
        reached as reached,
    )
    from cmdmetric.metrics.retrieval import (
        ranks as ranks,
        win_chances as win_chances,
        wins as wins,
    )
    from cmdmetric.metrics.vectors import BLOCK as BLOCK, blocks as blocks, unit as unit
    from cmdmetric.metrics.vendi import (
        vendi_influence as vendi_influence,
        vendi_score as vendi_score,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "joint.cfid": "LEAST_PAIRS ConditionalInfluence Regressed cfid_influence",
        "clipscore": "WEIGHT clip_scores pair_cosines ref_clip_scores",
        "cmd": "CrossModelDistance QUANTITIES cross_model_distance",
        "neighbours.copies": "Memorisation memorisation",
        "distance_influence": (
            "Aligned DistanceInfluence End Numbers Precision aligned_influence centred curvature "
            "frechet_influence harmonic "
            "influence_of_form influence_of_gap precision_of quadratic"
        ),
        "elsewhere": "Block Elsewhere Rows blockwise row_by_row slices",
        "fid": "DIMENSIONS fid_influence",
        "joint.fjd": "caption_scale fjd_influence",
        "frechet": "frechet_distance",
        "inception": "SPLITS inception_score inception_score_influence",
        "kernels.cmmd": "SIGMA SCALE cmmd_influence",
        "kernels.kid": "SUBSET_SIZE clip_kid_influence clip_kid_of kid_influence kid_of_subsets",
        "kernels.all_pairs": "all_pairs",
        "kernels.cosines": "SINGLE cosines",
        "kernels.mmd": "MMDInfluence Products",
        "mind": "PROJECTIONS SEED mind_influence",
        "moments": "Moments Provenance read_count read_provenance refuse_differences",
        "neighbours.prdc": "NEIGHBOURS Reached prdc_scores reached",
        "neighbours.nearest": "Sections",
        "retrieval": "ranks win_chances wins",
        "vectors": "BLOCK blocks unit",
        "vendi": "vendi_influence vendi_score",
    },
)
