"""Probes beside logistic regression, on data whose best probe is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from interp.classifiers import CLASSIFIERS, Classifier, MassMean, classifier
from interp.errors import InputError


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
    probe = classifier(name, 1.0)
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


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="unknown probe 'svm'"):
        classifier("svm", 1.0)
