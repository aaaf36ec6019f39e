"""Probes beside logistic regression, as scikit-learn's classifiers: fitted to features, and scoring them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import InputError, unknown_name

CLASSIFIERS = ("logistic", "mass-mean", "mass-mean-whitened", "lda", "mlp")
WITHOUT_LOG_ODDS = ("mass-mean",)
"""Those whose scores only order examples."""
HIDDEN = 128
"""Units of the MLP's hidden layer."""


@runtime_checkable
class Classifier(Protocol):
    """What is fitted to examples of two classes."""

    def fit(self, features: Float[np.ndarray, "n d_model"], positive: Bool[np.ndarray, " n"]) -> Classifier:
        """Learn from examples."""

    def decision_function(self, features: Float[np.ndarray, "m d_model"]) -> Float[np.ndarray, " m"]:
        """Scores, higher for the positive class."""


class MassMean:
    """The direction from one class's mean to the other's (Marks & Tegmark 2024, arXiv 2310.06824).

    With `whitened` it is tilted by the inverse of the covariance within the classes, which is their probe for data
    that come from the distribution it was fitted to. The covariance has no inverse where there are fewer examples
    than features: its pseudoinverse is taken, as theirs is.
    """

    def __init__(self, *, whitened: bool) -> None:
        self.whitened = whitened

    def fit(self, features: Float[np.ndarray, "n d_model"], positive: Bool[np.ndarray, " n"]) -> MassMean:
        """Learn the direction, and the middle between the means."""
        means = [features[positive == side].mean(0) for side in (True, False)]
        self.direction, self.middle = means[0] - means[1], (means[0] + means[1]) / 2
        if self.whitened:
            within = features - np.where(positive[:, None], means[0], means[1])
            # The right singular vectors of what is left are the covariance's eigenvectors.
            _, sizes, axes = np.linalg.svd(within, full_matrices=False)
            kept = sizes > sizes.max() * max(within.shape) * np.finfo(within.dtype).eps
            variances = sizes[kept] ** 2 / len(within)
            self.direction = axes[kept].T @ (axes[kept] @ self.direction / variances)
        return self

    def decision_function(self, features: Float[np.ndarray, "m d_model"]) -> Float[np.ndarray, " m"]:
        """How far along the direction, from the middle."""
        return np.asarray((features - self.middle) @ self.direction)


class OneHiddenLayer:
    """A multilayer perceptron with one hidden layer: scikit-learn's, with its weight decay set by C."""

    def __init__(self, c: float) -> None:
        self.c = c

    def fit(self, features: Float[np.ndarray, "n d_model"], positive: Bool[np.ndarray, " n"]) -> OneHiddenLayer:
        """Learn by Adam, to scikit-learn's tolerance or for 300 epochs."""
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        self.network = MLPClassifier((HIDDEN,), alpha=1 / self.c, max_iter=300, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.network.fit(features, positive)
        return self

    def decision_function(self, features: Float[np.ndarray, "m d_model"]) -> Float[np.ndarray, " m"]:
        """Log-odds."""
        probability = np.clip(self.network.predict_proba(features)[:, 1], 1e-12, 1 - 1e-12)
        return np.asarray(np.log(probability) - np.log1p(-probability))


def classifier(name: str, c: float) -> Classifier:
    """A classifier by its name, one of `CLASSIFIERS`; `c` is its inverse strength of regularisation, if it has one.

    ``logistic`` is scikit-learn's logistic regression, run to convergence; ``lda`` linear discriminant analysis with
    the covariance shrunk by Ledoit and Wolf's rule; ``mass-mean`` and ``mass-mean-whitened`` are `MassMean`; ``mlp`` is
    `OneHiddenLayer`.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression

    made: dict[str, Classifier] = {
        "logistic": LogisticRegression(C=c, solver="newton-cholesky", tol=1e-9, max_iter=1000),
        "mass-mean": MassMean(whitened=False),
        "mass-mean-whitened": MassMean(whitened=True),
        "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "mlp": OneHiddenLayer(c),
    }
    if name not in made:
        raise unknown_name("probe", name, CLASSIFIERS)
    return made[name]


def weights_of(fitted: Classifier) -> tuple[Float[np.ndarray, " d_model"], float]:
    """The direction and the intercept of a fitted classifier that is linear.

    Raises
    ------
    InputError
        If it is not linear.
    """
    if isinstance(fitted, MassMean):
        return fitted.direction, float(-fitted.middle @ fitted.direction)
    if isinstance(fitted, OneHiddenLayer):
        raise InputError("--probe mlp is not linear, and has no direction that could be kept; take another --probe")
    coefficients: Float[np.ndarray, " d_model"] = fitted.coef_[0]  # type: ignore[attr-defined]
    return coefficients, float(fitted.intercept_[0])  # type: ignore[attr-defined]
