"""Viewpoints: the newest view of each viewpoint of a session, by name."""

from collections.abc import Iterable

from terraloom.errors import InvalidArgumentError
from terraloom_engines.selection import Criteria, Region, WorkClass
from terraloom_engines.viewpoint import ViewState

MOST_VIEWPOINTS = 16
"""Viewpoints of one session: each is asked for every tile of every selection."""


class Viewpoints:
    """What a session's viewpoints see; one that has no name is named "". Views are numbered over all of them."""

    def __init__(self) -> None:
        self._views: dict[str, tuple[int, ViewState]] = {}
        self.sequence = 0
        """Number of the newest view."""

    def __len__(self) -> int:
        return len(self._views)

    @property
    def views(self) -> list[ViewState]:
        """The newest view of each."""
        return [view for _, view in self._views.values()]

    def look(self, name: str, sequence: int, view: ViewState) -> bool:
        """Takes a view of the viewpoint of that name, unless it has a newer one; whether it did.

        Raises InvalidArgumentError for one viewpoint too many.
        """
        if name not in self._views and len(self._views) >= MOST_VIEWPOINTS:
            known = ", ".join(map(repr, self._views))
            text = f"view.viewpoint = {name!r} is one too many: a session has at most {MOST_VIEWPOINTS}, and has {known}"
            raise InvalidArgumentError(text, field="view.viewpoint", allowed=tuple(self._views))
        if name in self._views and sequence < self._views[name][0]:
            return False
        self._views[name] = sequence, view
        self.sequence = max(self.sequence, sequence)
        return True

    def leave(self, names: Iterable[str], sequence: int) -> None:
        """Forgets viewpoints; `sequence` numbers this like a view. Raises InvalidArgumentError for a name that none has."""
        for name in names:
            if name not in self._views:
                text = f"leave.viewpoints names {name!r}, which no viewpoint has"
                raise InvalidArgumentError(text, field="leave.viewpoints", allowed=tuple(self._views))
            del self._views[name]
        self.sequence = max(self.sequence, sequence)


class Watching:
    """What sessions with viewpoints have in common."""

    viewpoints: Viewpoints
    criteria: Criteria
    classes: frozenset[WorkClass]

    @property
    def view_sequence(self) -> int:
        """Number of the newest view."""
        return self.viewpoints.sequence

    @property
    def views(self) -> list[ViewState]:
        """The newest view of each viewpoint."""
        return self.viewpoints.views

    @property
    def knows_where(self) -> bool:
        """Whether there is a view, or a region that needs none."""
        return len(self.viewpoints) > 0 or (isinstance(self.criteria.by, Region) and WorkClass.COLLISION not in self.classes)
