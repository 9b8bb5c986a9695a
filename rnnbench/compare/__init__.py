"""One question, asked of several cells at once: is there a difference, is it real, and how many seeds would show it?

``rb.compare`` and the command ``rnnbench compare`` both stand on it. It is a room of its own because an answer needs
what two rooms do that know nothing of each other: ``trials`` runs what is missing, ``report`` counts and draws.
"""

from rnnbench.compare.ask import compare
from rnnbench.rooms import make_callable

__all__ = ["compare"]

make_callable(__name__, compare)
