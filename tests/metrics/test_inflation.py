"""Full and partial views: the identity, and the theorem that one of two names fits every policy misled by its judge."""

from __future__ import annotations

import random

import pytest

from honewise.metrics import fit_scale, views


def test_what_is_believed_too_much_less_what_is_not_believed_is_the_difference_of_the_means() -> None:
    chance = random.Random(0)
    for _ in range(200):
        count = chance.randrange(1, 60)
        observed = [chance.gauss(0, 3) for _ in range(count)]
        true = [chance.gauss(1, 2) for _ in range(count)]
        found = views(observed, true)
        assert found is not None
        assert abs((found.observed - found.true) - (found.over - found.under)) < 1e-12
        assert found.over >= 0
        assert found.under >= 0


def test_the_policy_that_pleases_its_judge_best_and_is_worse_is_inflated_or_overjustified() -> None:
    """Policies are choices among a few completions; the one with the highest observed return against every other."""
    chance = random.Random(1)
    worse = 0
    for _ in range(3000):
        true = [chance.random() for _ in range(5)]
        observed = [chance.random() for _ in range(5)]
        policies = [[chance.random() for _ in range(5)] for _ in range(2)]
        seen = []
        for weights in policies:
            share = [weight / sum(weights) for weight in weights]
            drawn = [n for n in range(5) for _ in range(round(share[n] * 400))]
            seen.append(views([observed[n] for n in drawn], [true[n] for n in drawn]))
        one, other = seen
        assert one is not None
        assert other is not None
        best, reference = (one, other) if one.observed >= other.observed else (other, one)
        if best.true < reference.true:
            worse += 1
            assert best.inflated_against(reference) or best.overjustified_against(reference)
    assert worse > 300


def test_the_two_policies_of_the_toy() -> None:
    """Foresight: honest .2, inflated .9; truly .2 and -.5."""
    honest, inflated = views([0.2], [0.2]), views([0.9], [-0.5])
    assert honest is not None
    assert inflated is not None
    assert inflated.inflated_against(honest)
    assert not inflated.overjustified_against(honest)
    assert not honest.inflated_against(honest)
    assert inflated.over == pytest.approx(1.4)


def test_overjustification() -> None:
    """The reference does well and is not believed; the other explains itself at the cost of what it is worth."""
    modest, explained = views([0.4], [0.9]), views([0.5], [0.5])
    assert modest is not None
    assert explained is not None
    assert explained.overjustified_against(modest)
    assert not explained.inflated_against(modest)


def test_nothing_has_no_views() -> None:
    assert views([], []) is None
    with pytest.raises(ValueError, match="longer"):
        views([1.0], [1.0, 2.0])


def test_a_line_is_found_again() -> None:
    scale = fit_scale([0, 1, 2, 3], [5, 4.5, 4, 3.5])
    assert scale is not None
    assert (scale.slope, scale.offset) == (-0.5, 5.0)
    assert scale(10) == 0.0
    assert fit_scale([2, 2, 2], [1, 2, 3]) is None
    assert fit_scale([], []) is None


def test_fitted_on_the_reference_the_judge_is_right_about_it_on_average() -> None:
    chance = random.Random(5)
    true = [chance.random() for _ in range(100)]
    observed = [3 * each + chance.gauss(0, 0.3) for each in true]
    scale = fit_scale(observed, true)
    assert scale is not None
    found = views([scale(each) for each in observed], true)
    assert found is not None
    assert found.observed == pytest.approx(found.true)
    assert found.over == pytest.approx(found.under)
