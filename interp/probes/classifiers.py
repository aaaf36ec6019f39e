"""Probes beside logistic regression, as scikit-learn's classifiers: fitted to features, and scoring them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import InputError, unknown_name

CLASSIFIERS = ("logistic", "mass-mean", "mass-mean-whitened", "lda", "mlp", "sparse")
WITHOUT_LOG_ODDS = ("mass-mean", "mass-mean-whitened")
"""Those whose scores only order examples. Marks & Tegmark 2024 take the sigmoid of either for a probability, on data
with as many examples of either class: neither knows how frequent the classes are, and what has that, and a covariance
that can be inverted, is linear discriminant analysis."""
HIDDEN = 128
"""Units of the MLP's hidden layer."""
SPARSE_PROBE = "fit_sparse_probe"
K = 16
"""Coordinates of the sparse probe."""


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
    than features: its pseudoinverse is taken, as theirs is. What is left out of it are variances that are 0 but for
    rounding; their code leaves out all below 1e-3, a bound that hangs on how large activations are.

    The features are as they come: `interp.probes.cell_probe.scaled_features` centres them, as theirs are, and may
    divide them by their deviations, as theirs are not.
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
        return (features - self.middle) @ self.direction


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
        return np.log(probability) - np.log1p(-probability)


class Sparse:
    """TransformerLens's k-sparse probe: logistic regression on the k coordinates whose class means differ most.

    Which coordinates these are is decided by the examples that it is fitted to (Gurnee et al. 2023, arXiv 2305.01610,
    choose so too). Its selection and its solver are those of ``transformer_lens.tools.analysis.fit_sparse_probe``,
    which splits the examples that it is given, since it reports metrics on some that it holds out: at least one of
    each class, and whole `groups`. Here the split is made already. So the examples to fit to go in as one group, and
    copies of one of each class as the other, of which no more than these two are asked to be held out; nothing of
    what is held out is in the fit. That it was split so is checked.

    Its weights are those of a regression with scikit-learn's C: the penalty is 1 / (C · n), and classes have the same
    weight for every example, so that the scores are log-odds.
    """

    def __init__(self, c: float, k: int) -> None:
        self.c, self.k = c, k

    def fit(self, features: Float[np.ndarray, "n d_model"], positive: Bool[np.ndarray, " n"]) -> Sparse:
        """Choose the coordinates and learn their weights.

        Raises
        ------
        InputError
            If there are fewer coordinates than k, or TransformerLens has no such probe.
        """
        import torch

        n, width = features.shape
        if self.k > width:
            raise InputError(f"--k is {self.k}, and the activations have {width} coordinates; give at most that many")
        rows = np.concatenate([np.arange(n), [positive.argmax(), positive.argmin()]])
        fitted = fit_sparse_probe()(
            torch.from_numpy(features[rows]),
            torch.from_numpy(positive[rows]),
            k=self.k,
            groups=torch.from_numpy((np.arange(len(rows)) >= n).astype(np.int64)),
            test_fraction=1 / (2 * len(rows)),
            class_weight=None,
            l2_strength=1 / (self.c * n),
        )
        if fitted.train_indices.tolist() != list(range(n)):
            raise RuntimeError(
                f"TransformerLens's sparse probe was fitted to {len(fitted.train_indices)} of {n} examples"
            )
        self.direction, self.intercept = np.zeros(width), float(fitted.intercept)
        self.direction[fitted.selected_features.numpy()] = fitted.coefficients.numpy()
        return self

    def decision_function(self, features: Float[np.ndarray, "m d_model"]) -> Float[np.ndarray, " m"]:
        """Log-odds."""
        return features @ self.direction + self.intercept


def fit_sparse_probe() -> Callable[..., Any]:
    """TransformerLens's function of this name.

    Raises
    ------
    InputError
        If this version of TransformerLens does not have it (3.9 does not), or not with `groups`.
    """
    function: Callable[..., Any] | None = getattr(import_module("transformer_lens.tools.analysis"), SPARSE_PROBE, None)
    if function is None or "groups" not in signature(function).parameters:
        raise InputError(
            f"--probe sparse is TransformerLens's own, which version {version('transformer-lens')} does not have; "
            "pip install 'transformer-lens>=4.3', or give another --probe"
        )
    return function


def classifier(name: str, c: float, *, k: int = K) -> Classifier:
    """A classifier by its name, one of `CLASSIFIERS`; `c` is its inverse strength of regularisation, if it has one.

    ``logistic`` is scikit-learn's logistic regression, run to convergence; ``lda`` linear discriminant analysis with
    the covariance shrunk by Ledoit and Wolf's rule; ``mass-mean`` and ``mass-mean-whitened`` are `MassMean`; ``mlp`` is
    `OneHiddenLayer`; ``sparse`` is `Sparse`, with `k` coordinates.

    Raises
    ------
    InputError
        If there is no such classifier.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression

    made: dict[str, Classifier] = {
        "logistic": LogisticRegression(C=c, solver="newton-cholesky", tol=1e-9, max_iter=1000),
        "mass-mean": MassMean(whitened=False),
        "mass-mean-whitened": MassMean(whitened=True),
        "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "mlp": OneHiddenLayer(c),
        "sparse": Sparse(c, k),
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
    if isinstance(fitted, Sparse):
        return fitted.direction, fitted.intercept
    coefficients: Float[np.ndarray, " d_model"] = fitted.coef_[0]  # type: ignore[attr-defined]
    return coefficients, float(fitted.intercept_[0])  # type: ignore[attr-defined]
