"""Regions as files for other tools: nothing here needs a server.

Read it in this order:

    region      which part of a world, and the tiles and pixels that cover it
    tile_files  the tiles of an export, one file each, made once however often it is begun
    estimate    how much there is to do
    tiles3d     a folder of 3D Tiles
    archive     the same folder as one .3tz file
    scene       one GLB
    mosaic      heights and colours as one raster
    geotiff     rasters for GIS
    heightmap   16-bit heights for the terrain of game engines
    formats     which of these an export becomes
"""
