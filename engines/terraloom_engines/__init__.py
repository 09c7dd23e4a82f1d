"""The server side of Terraloom: a cascade of small diffusion engines and everything that turns its rasters into streamed tiles.

Read it top-down. Each part imports only from those above it (and from the client, `terraloom`); a test holds it to that.

    spans         what took how long, for OpenTelemetry
    tiling        tile addresses and their geometry: the quadtree that is also the recursion
    field         the integer rasters of one tile with a halo
    field_codec   fields as bytes, lossless
    noise         counter-based Gaussian noise: a function of seed, level and place
    conservation  integer finishing: bound the residual, keep every pixel's mean
    slope_noise   noise that runs down the slopes
    bundle        weights, manifest and base rasters as shipped, read lazily
    runtimes      run networks of fixed shape: ONNX Runtime, OpenVINO, TensorRT, torch
    diffusion     sampling of one refine step
    stages        one window through one network: what goes in, what comes out
    upsampling    smooth children of a raster, whose averages are kept
    upsampled     a tile as far as an ancestor tells, without the networks
    guidance      colour that follows relief where it does so already
    exposure      colour that follows slopes: sunny sides, bare steeps
    cover         how rough what grows on the ground is
    creep         fine land without more relief than its slopes account for
    breaching     valleys that water cuts from pits to lower ground
    lifting       elevation and its relief from imagery (dimensional lifting)
    imagery       finer imagery and its texture (scale-space transition)
    cascade       the recursion: a tile's field from its parent's
    device        the same step by torch, on a GPU from end to end
    self_test     the proof on the spot that a runtime treats every pixel alike
    networks      the graphs of a bundle, loaded and proven once for all worlds
    paper         stages of the paper's size, by diffusers: windows that overlap
    verification  how far a runtime is from the reference on real inputs
    world         a base, a seed and the networks: fields of any tile
    rasters       worlds made of users' rasters, joined to Earth
    geodesy       columns, rows and frames of tiles on the ellipsoid
    mesh          vertices, normals and indices of a tile
    heights       the height of any place: the grid that collision and SampleHeights share
    spawn         a dry, even place to start from
    bounds        between which heights a tile and all below it lies
    texture       the colour of a tile as an encoded picture
    polar         caps beyond the rim of Web Mercator, continued from it
    shading       light and shadow on a raster of heights
    maps          a tile as a picture for slippy maps
    accessors     the typed arrays of a GLB, plain or compressed
    gltf          GLB bytes of a mesh and its texture
    content       what a client gets for a tile: GLB or height grid, transform, hash
    tileset       3D Tiles: bounding volumes, tilesets, placed GLBs
    implicit      3D Tiles of planes: boxes and binary subtrees
    store         bytes by key, checked: memory over a directory
    viewpoint     where somebody looks from, and will in a while
    ground        how far tiles are from a viewpoint, and whether they may be seen
    selection     a view in, the tiles it needs out
    collision     a view in, the ground that a body may touch out
    fairness      the order of work among clients: what nobody is starved by
    waste         work that was given up, and what of it was used after all
    scheduler     one queue of work, ordered by time to need
    bench         what this machine can do
    server        the gRPC face
    http          the HTTP face
    render        pictures of places, from above and obliquely
    export        regions as files for other tools
    cli           the commands
    training      what makes the weights
"""
