"""What a name is in every release of a package, read from its wheels without installing any.

An index lists wheels; a wheel is a zip file, and a server gives byte ranges of it. So the few
source files and stubs that decide about a name are read alone, and kept for good.
Data flows one way: catalogue (index -> one wheel per release) → archive (wheel -> members, by
ranges, through the store) → source (a file -> what binds a name) → resolve (a release -> sighting)
→ read (releases -> timelines) → changes → show.
"""

from torchfloor.timeline.changes import change_points
from torchfloor.timeline.model import (
    Change,
    Kind,
    Parameter,
    ParameterKind,
    Reading,
    Sighting,
    Signature,
    Status,
    Timeline,
)
from torchfloor.timeline.read import read_timelines

__all__ = [
    "Change",
    "Kind",
    "Parameter",
    "ParameterKind",
    "Reading",
    "Sighting",
    "Signature",
    "Status",
    "Timeline",
    "change_points",
    "read_timelines",
]
