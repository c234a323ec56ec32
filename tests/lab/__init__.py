"""The lab."""

from .errors import LabError, LabTimeout, LabUnavailable
from .host import Background, Done, Host
from .lab import BUILDS, EVERYONE, Lab
from .needs import missing_requirements
from .net import SERVICE_ADDRESSES, Fault

__all__ = [
    "BUILDS", "EVERYONE", "SERVICE_ADDRESSES", "Background", "Done", "Fault", "Host", "Lab", "LabError", "LabTimeout",
    "LabUnavailable", "missing_requirements",
]  # fmt: skip
