"""Ground for simulators: tiles of a collision stream become heightfields that move, come and go with the body on them.

    anchor     the simulation's origin on the planet, and where tiles lie round it
    mujoco     tiles in MuJoCo
    pybullet   tiles in PyBullet
    jsbsim     the height below an aircraft in JSBSim
    environment  a rover to train, in Gymnasium

MuJoCo and PyBullet have X east, Y north and Z up, in metres. `docs/physics.md` shows them at work.
"""
