"""The error of an installation."""

from __future__ import annotations


class InstallError(Exception):
    """Something could not be installed; the text names it, the reason and the way out."""
