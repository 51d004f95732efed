"""How objects become results. Loaded with the first of them, for few programs need it."""

from _glovebox.display import animations, budget, figures, formats, originals, plot_warnings, pyplot

__all__ = ["animations", "budget", "figures", "formats", "originals", "plot_warnings", "pyplot"]
