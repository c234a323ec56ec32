from tests.daemon.bureau import bureau, robot, running, world

__all__ = ["bureau", "robot", "running", "world"]
