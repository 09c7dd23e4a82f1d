"""The paper's scale: stages of the size that MetaEarth3D (arXiv 2604.22828) names, built of diffusers and transformers.

Imagery first, as in the paper: a resolution-conditioned UNet of some 600 M parameters draws the children's colours, given the encoded
coarser image (MetaEarth, arXiv 2405.13570). Then a latent image-to-image UNet, told its task by an encoded prompt, makes heights of
them (InstructCV, arXiv 2310.00390), of 1.0 B parameters with its autoencoder and text encoder. Nobody has published weights:
`configs/metaearth3d` has the architectures, and users' folders in diffusers' format the weights.

Their networks are not local: what a pixel becomes depends on all of its window. So windows lie on a lattice of each level, overlap by half
and are blended (`windows.py`); `docs/paper-scale.md` says what that promises and what it does not. Needs the extra `paper`.
"""
