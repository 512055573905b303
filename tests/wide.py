"""Integers that fill a wide range: Hypothesis alone draws from one of thirty decades hardly anything but small ones."""

from __future__ import annotations

from hypothesis import strategies as st

# Up to here Hypothesis spreads evenly by itself.
NARROW = 1_000


def integers(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers of low to high, both included: the ends, small ones, and ones spread evenly over all of the range."""
    if high - low <= NARROW:
        return st.integers(low, high)
    even = st.builds(
        lambda part, rest: low + ((high - low) * part + rest % (high - low)) // NARROW,
        st.integers(0, NARROW - 1),
        st.integers(0, high - low),
    )
    return st.one_of(even, even, st.integers(low, high), st.sampled_from([low, high]))
