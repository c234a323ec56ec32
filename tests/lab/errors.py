"""What the lab raises."""


class LabError(Exception):
    """The lab can't be built, or a host didn't do what was asked."""


class LabUnavailable(LabError):
    """This machine lacks something that the lab needs; the sentence says what to install."""


class LabTimeout(LabError, TimeoutError):
    """A host didn't answer, boot or die within the time given."""
