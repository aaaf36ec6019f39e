"""The `interp` command: ``interp <analysis>`` is ``python -m analyses.<analysis>``, but for `MODULES`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from analyses.parts.command import EXIT_INPUT, execute, let_print
from interp import __version__
from interp.errors import unknown_name

ANALYSES = (
    "data",
    "models",
    "doctor",
    "answers",
    "capture",
    "activation",
    "attribution",
    "probe",
    "lens",
    "patch",
    "tune",
    "baselines",
    "ccs",
    "apply",
    "transfer",
    "error-types",
    "select",
    "compare",
    "figures",
    "report",
    "describe",
    "export",
    "provenance",
    "store",
)
MODULES = {"error-types": "error_types", "select": "selection"}
"""Of analyses whose names are no names of modules, or not those of theirs."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one analysis; without a name, list them."""
    args = list(sys.argv[1:] if args is None else args)
    if args and args[0] == "--version":
        print(__version__)
        return 0
    if not args or args[0] in ("-h", "--help"):
        let_print()
        print(_overview())
        return 0
    name, *rest = args
    if name not in ANALYSES:
        print(f"error: {unknown_name('analysis', name, ANALYSES)}", file=sys.stderr)
        return EXIT_INPUT
    module = module_of(name)
    return execute(module.Config, module.run, prog=f"interp {name}", args=rest)


def module_of(name: str) -> ModuleType:
    """The script of an analysis, with its ``Config`` and ``run``."""
    return import_module(f"analyses.{MODULES.get(name, name)}")


def _overview() -> str:
    summaries = {name: (module_of(name).__doc__ or "").splitlines()[0] for name in ANALYSES}
    lines = [f"  {name:<11} {summary}" for name, summary in summaries.items()]
    return "\n".join(
        [
            "usage: interp ANALYSIS [flags]     (interp ANALYSIS --help lists the flags)",
            "",
            "Layer × token heatmaps of what a language model knows, and where.",
            "",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
