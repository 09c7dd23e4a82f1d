"""Viewpoints for tests: any of them, and where they are in space."""

import math

from hypothesis import strategies as st

from terraloom_engines.viewpoint import RADIUS, ViewState

views = st.builds(
    ViewState,
    east=st.floats(-180.0, 180.0),
    north=st.floats(-90.0, 90.0),
    height=st.floats(-100.0, 2e7),
    velocity=st.tuples(st.floats(-300.0, 300.0), st.floats(-300.0, 300.0), st.floats(-50.0, 50.0)),
    viewport_lines=st.integers(64, 2160),
)


def cartesian(longitude: float, latitude: float, height: float) -> tuple[float, float, float]:
    """Metres from Earth's centre on the sphere of Web Mercator."""
    lam, phi, r = math.radians(longitude), math.radians(latitude), RADIUS + height
    return r * math.cos(phi) * math.cos(lam), r * math.cos(phi) * math.sin(lam), r * math.sin(phi)
