"""Places by name or by numbers, for pictures and flights."""

from dataclasses import dataclass

from terraloom.errors import InvalidArgumentError, NotFoundError
from terraloom_engines.tiling import PLANE_REACH, WorldKind

__all__ = ["PLACES", "Place", "Spot", "parse_place", "parse_spot"]


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the ground: name, degrees east, degrees north."""

    name: str
    longitude: float
    latitude: float


PLACES = {
    place.name: place
    for place in (
        Place("alps", 7.90, 46.35),
        Place("matterhorn", 7.659, 45.976),
        Place("mont-blanc", 6.865, 45.833),
        Place("everest", 86.925, 27.988),
        Place("himalaya", 86.5, 28.1),
        Place("grand-canyon", -112.11, 36.10),
        Place("geirangerfjord", 7.10, 62.10),
        Place("sahara", 8.0, 27.0),
        Place("great-plains", -100.5, 39.5),
        Place("fuji", 138.727, 35.361),
        Place("rainier", -121.760, 46.853),
        Place("fiji", 179.9, -16.6),
        Place("andes", -70.0, -32.65),
        Place("amazon", -63.2, -3.9),
        Place("hawaii", -155.5, 19.6),
        Place("iceland", -19.2, 63.65),
        Place("bangladesh", 90.3, 22.3),
        Place("open-sea", -30.0, 30.0),
    )
}


def parse_place(text: str) -> Place:
    """A place from its name (spaces and capitals do not matter), or from "LONGITUDE,LATITUDE" in degrees.

    Raises NotFoundError for an unknown name, InvalidArgumentError for degrees that are none.
    """
    if "," not in text:
        name = "-".join(text.lower().split())
        if name not in PLACES:
            raise NotFoundError(f"unknown place {text!r}: give LONGITUDE,LATITUDE in degrees or one of {', '.join(PLACES)}")
        return PLACES[name]
    try:
        longitude, latitude = map(float, text.split(","))
    except ValueError:
        raise InvalidArgumentError(f"a place is a name or LONGITUDE,LATITUDE in degrees, such as 7.66,45.98; got {text!r}") from None
    if not (-180.0 <= longitude <= 180.0 and -90.0 <= latitude <= 90.0):
        raise InvalidArgumentError(f"place {text}: longitude goes from -180 to 180, latitude from -90 to 90")
    return Place(f"{longitude:g}_{latitude:g}", longitude, latitude)


@dataclass(frozen=True, slots=True)
class Spot:
    """A point on the ground of any world: its name, and longitude and latitude in degrees, or x and y in metres on a plane."""

    name: str
    east: float
    north: float
    kind: WorldKind

    def coordinates(self) -> dict[str, float]:
        """The point by the names of its coordinates."""
        names = ("x", "y") if self.kind is WorldKind.PLANE else ("longitude", "latitude")
        return dict(zip(names, (self.east, self.north), strict=True))

    def __str__(self) -> str:
        return f"x {self.east:g} y {self.north:g} m" if self.kind is WorldKind.PLANE else f"{self.east:g} E {self.north:g} N"


def parse_spot(text: str, kind: WorldKind) -> Spot:
    """A place of a kind of world: `parse_place` on planets, "X,Y" in metres on planes.

    Raises NotFoundError for an unknown name, InvalidArgumentError for numbers that are none or out of range.
    """
    if kind is WorldKind.PLANET:
        place = parse_place(text)
        return Spot(place.name, place.longitude, place.latitude, kind)
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InvalidArgumentError(f"a place on a plane is X,Y in metres, such as 1500,-200; got {text!r}") from None
    if not (abs(x) < PLANE_REACH and abs(y) < PLANE_REACH):
        raise InvalidArgumentError(f"place {text}: x and y of a plane lie within {PLANE_REACH:.3g} m of its origin")
    return Spot(f"{x:g}_{y:g}", x, y, kind)
