"""What a difference of two generators says, in sentences."""

from __future__ import annotations

from cmdmetric.terminal import NAME, percent, shown

#: The level at which two generators are told apart.
SIGNIFICANT = 0.05
_SMALLEST = 0.001


def fixed(value: float, places: int = 4) -> str:
    """With some decimals; what rounds to zero has no sign.

    >>> fixed(-0.00001)
    '0.0000'
    """
    return f"{round(value, places) + 0.0:.{places}f}"


def p_of(p: float) -> str:
    """A p-value as papers write it.

    >>> p_of(0.8412), p_of(0.0123), p_of(0.00001)
    ('p = 0.84', 'p = 0.012', 'p < 0.001')
    """
    if p < _SMALLEST:
        return f"p < {_SMALLEST:g}"
    return f"p = {p:.2f}" if p >= 0.1 else f"p = {p:.3f}"


def chance(p: float) -> str:
    """A p-value as a sentence.

    >>> chance(0.84)
    'chance alone parts two equal generators at least so far in 84 % of cases'
    """
    share = percent(p) if p >= 0.1 else f"{100 * p:.1f} %"
    if p < _SMALLEST:
        share = f"fewer than {100 * _SMALLEST:g} %"
    return f"chance alone parts two equal generators at least so far in {share} of cases"


def verdict(first: str, second: str, difference: float, p: float | None) -> str:
    """Whether a first generator is better than a second, in a sentence.

    Args:
        first: The name of the one.
        second: The name of the other.
        difference: CMD of the first minus that of the second.
        p: The p-value of equality; None where it is not known.

    >>> verdict("a", "b", -1.3, 0.001)
    'a is better than b'
    >>> verdict("a", "b", 0.1, 0.84)
    'a and b cannot be told apart'
    """
    one, two = shown(first, NAME), shown(second, NAME)
    if p is None:
        return f"whether {one} differs from {two} is not known"
    if p >= SIGNIFICANT or difference == 0:
        return f"{one} and {two} cannot be told apart"
    return f"{one} is {'better' if difference < 0 else 'worse'} than {two}"
