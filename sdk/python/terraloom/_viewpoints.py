"""The viewpoints of a stream, by name: the newest view of each, and what the server has not heard of yet."""

import math
from collections.abc import Iterator

from terraloom.errors import InvalidArgumentError
from terraloom.v1 import terraloom_pb2 as pb


class Viewpoints:
    """Views are numbered over all viewpoints; one that was not sent when the next comes is never sent."""

    def __init__(self) -> None:
        self.newest: dict[str, pb.View] = {}
        """The newest view of each."""
        self._unsent: dict[str, pb.View | None] = {}
        """Those of them that are not sent yet; None for a viewpoint that is no more."""

    def move(self, view: pb.View) -> None:
        """A new view, of the viewpoint that it names."""
        self.newest[view.viewpoint] = self._unsent[view.viewpoint] = view

    def leave(self, name: str) -> None:
        """A viewpoint is no more. Raises InvalidArgumentError for one that there is not."""
        if name not in self.newest:
            raise InvalidArgumentError(f"there is no viewpoint {name!r}", field="viewpoint", allowed=tuple(self.newest))
        del self.newest[name]
        self._unsent[name] = None

    def messages(self, sequence: int) -> Iterator[pb.ClientMessage]:
        """What the server has to hear, in the order of the views; `sequence` is the last one's number."""
        unsent, self._unsent = self._unsent, {}
        for name, view in sorted(unsent.items(), key=lambda item: item[1].sequence if item[1] is not None else math.inf):
            if view is not None:
                yield pb.ClientMessage(view=view)
            else:
                yield pb.ClientMessage(leave=pb.Leave(viewpoints=[name], sequence=sequence))

    def open(self, opening: pb.OpenSessionRequest) -> None:
        """Puts all newest views into an opening; then the server has heard of them."""
        self._unsent = {}
        views = list(self.newest.values())
        opening.ClearField("view")
        for view in views[:1]:
            opening.view.CopyFrom(view)
        del opening.views[:]
        opening.views.extend(views[1:])
