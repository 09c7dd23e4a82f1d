"""Worlds out of users' rasters: what `terraloom world create` does. Only this package needs rasterio; serving such a world does not.

units        what the numbers of an elevation file mean
source       a raster file as rasterio reads it, checked
placement    the level and the tiles that rasters belong to
warped       rasters resampled to the pixels of that level
distances    how far pixels lie from the edge of a mask
joining      a raster laid into Earth without a step
spreads      what is left inside pixels, from how rough their neighbourhood is
shores       land and water: the sea of its heights, Earth's lakes
layers       tiles of one level, blended: ground and colour
pyramid      the levels above, as exact averages
painting     colour for bare elevation, by the imagery network
folders      where a world is made, and how it goes away
creation     all of it, into a folder
"""
