"""What sampling does to a number: draws, influences, excess of finite samples, error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.uncertainty.adjust import holm as holm
    from cmdmetric.uncertainty.alike import TOO_GOOD as TOO_GOOD, is_collapsed as is_collapsed
    from cmdmetric.uncertainty.draws import (
        Array as Array,
        Drawn as Drawn,
        apart as apart,
        common_noise as common_noise,
        groups_of_images as groups_of_images,
        number_of_draws as number_of_draws,
        numbers_of_draws as numbers_of_draws,
        replicated as replicated,
        sections as sections,
        sums_by_draw as sums_by_draw,
        units as units,
    )
    from cmdmetric.uncertainty.error_bars import (
        Debiasing as Debiasing,
        Difference as Difference,
        Estimate as Estimate,
        Parts as Parts,
        Uncertainty as Uncertainty,
        paired_difference as paired_difference,
        uncertainty as uncertainty,
    )
    from cmdmetric.uncertainty.estimate import (
        Gap as Gap,
        Groups as Groups,
        Measured as Measured,
        Sizes as Sizes,
        Test as Test,
        Value as Value,
        differ as differ,
        gap as gap,
        gap_of as gap_of,
    )
    from cmdmetric.uncertainty.influence import (
        Sample as Sample,
        SideLike as SideLike,
        influences as influences,
    )
    from cmdmetric.uncertainty.interval import (
        EXCEPTIONS as EXCEPTIONS,
        Z95 as Z95,
        Variance as Variance,
        tell_an_error as tell_an_error,
    )
    from cmdmetric.uncertainty.permutation import (
        PERMUTATIONS as PERMUTATIONS,
        SEED as SEED,
        permutation_p as permutation_p,
    )
    from cmdmetric.uncertainty.plan import (
        POWER as POWER,
        Spread as Spread,
        detectable as detectable,
        draws_needed as draws_needed,
        gaussian_spread as gaussian_spread,
    )
    from cmdmetric.uncertainty.residuals import conditional_excess as conditional_excess
    from cmdmetric.uncertainty.sample_size import (
        LEAST as LEAST,
        Step as Step,
        growth as growth,
    )
    from cmdmetric.uncertainty.slices import (
        added_to_cmd as added_to_cmd,
        mean_of_slice as mean_of_slice,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "adjust": "holm",
        "alike": "TOO_GOOD is_collapsed",
        "draws": (
            "Array Drawn apart common_noise groups_of_images number_of_draws numbers_of_draws "
            "replicated sections sums_by_draw units"
        ),
        "error_bars": (
            "Debiasing Difference Estimate Parts Uncertainty paired_difference uncertainty"
        ),
        "estimate": "Gap Groups Measured Sizes Test Value differ gap gap_of",
        "interval": "EXCEPTIONS Z95 Variance tell_an_error",
        "slices": "added_to_cmd mean_of_slice",
        "influence": "Sample SideLike influences",
        "permutation": "PERMUTATIONS SEED permutation_p",
        "plan": "POWER Spread detectable draws_needed gaussian_spread",
        "residuals": "conditional_excess",
        "sample_size": "LEAST Step growth",
    },
)
