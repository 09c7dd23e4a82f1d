"""Pictures of places: from above out of a world's rasters, and obliquely out of tiles as a client receives them.

places       names of places on Earth
overhead     a place from above: colour, hillshade, or both
received     heights and colours of a received tile, read back out of its GLB
camera       where a perspective picture is taken from, and through what
scene        the tiles that an eye sees, out of a world
clipmap      nested windows of tiles round an eye
atmosphere   the light of the sky, and what air does to sunlight and to distant ground
landscape    the lit windows, sampled between levels
water        what the sea mirrors
tracks       great circles from the eye on the map
oblique      the perspective view
chart        a flight from above: received tiles, their levels, the path
"""
