"""Probes beside logistic regression, on data whose best probe is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from transformer_lens.tools import analysis

from interp.errors import InputError
from interp.probes.cell_probe import Probing
from interp.probes.classifiers import (
    CLASSIFIERS,
    SPARSE_PROBE,
    Classifier,
    MassMean,
    Sparse,
    classifier,
    fit_sparse_probe,
)


def two_classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two normal classes whose difference lies where they are widest, so that the means alone mislead."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.5
    features = rng.normal(size=(n, 6)) * [5.0, 1, 1, 1, 1, 1]
    features[:, 1] += 0.9 * features[:, 0] / 5
    features[positive] += [1.0, 1.0, 0, 0, 0, 0]
    return features, positive


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_it_separates_what_can_be_separated(name: str) -> None:
    (features, positive), (new, expected) = two_classes(600, 0), two_classes(600, 1)
    probe = classifier(name, 1.0, k=6)
    assert isinstance(probe, Classifier)
    auc = roc_auc_score(expected, probe.fit(features, positive).decision_function(new))
    assert auc > 0.66 if name != "mass-mean" else 0.5 < auc < 0.64


def test_the_direction_is_that_between_the_means() -> None:
    features, positive = two_classes(200, 2)
    probe = MassMean(whitened=False).fit(features, positive)
    ahead, behind = features[positive].mean(0), features[~positive].mean(0)
    np.testing.assert_allclose(probe.direction, ahead - behind)
    np.testing.assert_allclose(probe.decision_function(np.stack([ahead, behind])).sum(), 0, atol=1e-9)


def test_tilted_by_the_covariance_it_is_the_linear_discriminant() -> None:
    features, positive = two_classes(300, 3)
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(features, positive)
    np.testing.assert_allclose(MassMean(whitened=True).fit(features, positive).direction, reference.coef_[0], rtol=1e-6)


def test_with_fewer_examples_than_features_it_still_has_a_direction() -> None:
    rng = np.random.default_rng(4)
    features, positive = rng.normal(size=(20, 50)), np.arange(20) % 2 == 0
    scores = MassMean(whitened=True).fit(features, positive).decision_function(features)
    assert np.isfinite(scores).all()


def planted(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two of thirty coordinates differ between the classes, one of them in the other direction."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.4
    features = rng.normal(size=(n, 30))
    features[:, 7] += 1.5 * positive
    features[:, 21] -= 1.2 * positive
    return features, positive


@pytest.mark.parametrize(("n", "c", "k"), [(30, 1.0, 1), (200, 0.1, 2), (200, 10.0, 5), (500, 1.0, 30)])
def test_the_sparse_probe_is_the_regression_on_the_coordinates_whose_means_differ_most(
    n: int, c: float, k: int
) -> None:
    """Of all examples that it is given: scikit-learn's on the same coordinates is the same."""
    (features, positive), (new, _) = planted(n, 5), planted(50, 6)
    probe = Sparse(c, k).fit(features, positive)
    differences = np.abs(features[positive].mean(0) - features[~positive].mean(0))
    chosen = np.argsort(-differences)[:k]
    assert set(np.flatnonzero(probe.direction).tolist()) == set(chosen.tolist())
    reference = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10).fit(features[:, chosen], positive)
    np.testing.assert_allclose(
        probe.decision_function(new), reference.decision_function(new[:, chosen]), rtol=1e-4, atol=1e-5
    )


def test_the_sparse_probe_finds_the_coordinates_that_differ() -> None:
    assert set(np.flatnonzero(Sparse(1.0, 2).fit(*planted(300, 7)).direction).tolist()) == {7, 21}


def test_a_class_of_two_is_fitted_to_whole() -> None:
    features, positive = planted(40, 8)
    positive[:] = False
    positive[[3, 30]] = True
    probe = Sparse(1.0, 1).fit(features, positive)
    assert abs(features[positive].mean(0) - features[~positive].mean(0)).argmax() == np.flatnonzero(probe.direction)[0]


def test_more_coordinates_than_there_are_are_refused() -> None:
    with pytest.raises(InputError, match="--k is 31, and the activations have 30 coordinates"):
        Sparse(1.0, 31).fit(*planted(40, 9))


@pytest.mark.parametrize("other", [None, lambda features, labels, *, k: None])
def test_a_transformer_lens_without_a_sparse_probe_is_told_in_one_line(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysis, SPARSE_PROBE, other)
    with pytest.raises(InputError, match=r"--probe sparse is TransformerLens's own, which version .* does not have"):
        fit_sparse_probe()


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="unknown probe 'svm'"):
        classifier("svm", 1.0)
    with pytest.raises(InputError, match="unknown probe 'svm'"):
        Probing(kind="svm")
    with pytest.raises(InputError, match="unknown solver 'liblinear'; nearest: sklearn"):
        Probing(solver="liblinear")
