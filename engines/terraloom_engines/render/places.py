"""Places on Earth by name, for pictures and flights."""

from dataclasses import dataclass

from terraloom.errors import InvalidArgumentError, NotFoundError

__all__ = ["PLACES", "Place", "parse_place"]


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
