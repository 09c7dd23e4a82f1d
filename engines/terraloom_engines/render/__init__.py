"""Pictures of places: from above out of a world's rasters, and obliquely out of tiles as a client receives them.

places       names of places on Earth
overhead     a place from above: colour, hillshade, or both
received     heights and colours of a received tile, read back out of its GLB
clipmap      nested windows of received tiles round an eye
atmosphere   the sky, and what air does to distant ground
landscape    the lit windows, sampled between levels
tracks       great circles from the eye on the map
oblique      the perspective view
chart        a flight from above: received tiles, their levels, the path
"""
