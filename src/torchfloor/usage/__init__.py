"""A code base -> the names of a dependency it uses, and how each use is guarded.

Only syntax trees are read, and nothing is run. Data flows one way: sources (paths -> files) →
project, scopes (files -> modules and what their names are bound to) → uses (with the conditions of
flow) → checks, interpret (a condition -> met in a release, or not, or unknown).
"""

from torchfloor.usage.checks import Sight, World, is_certain, is_possible
from torchfloor.usage.project import Project
from torchfloor.usage.read import Usage, read_usage
from torchfloor.usage.uses import Kind, Use

__all__ = [
    "Kind",
    "Project",
    "Sight",
    "Usage",
    "Use",
    "World",
    "is_certain",
    "is_possible",
    "read_usage",
]
