"""The base `planet:SEED`: an invented planet, evaluated where it is looked at.

    curves     functions of one variable that round alike everywhere
    gradient   noise in space: a function of seed and place
    patches    the pixels of a window on the sphere
    fractals   sums of noise on them
    plates     plates that drift, and how they meet
    belts      mountains, island arcs and trenches along their boundaries
    terrain    the ground: crust, belts, uplands, hills; heights distributed as on Earth
    climate    where it is warm and where it rains
    biomes     the colour of a climate
    base       levels 0 to 4 of the quadtree, conservative and seamless

Lengths on the sphere are angles in radians: 1 is 6371 km. Streams, which tell the sums of one planet apart, are unique over all modules.
"""

from terraloom_engines.bundle.planet.base import PlanetBase

__all__ = ["PlanetBase"]
