"""Errors that the lab shows to people."""

from __future__ import annotations


class LabError(Exception):
    """Something went wrong; the text names it, the reason and the way out."""
