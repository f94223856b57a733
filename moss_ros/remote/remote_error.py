"""What this package raises where the remote model's process does not do its part."""


class RemoteError(Exception):
    """
    The remote model could not be started or loaded, died, hung or broke the protocol.

    The message names what happened, the last lines that the process printed, and the way out.
    details is the traceback inside that process, empty where there is none.
    """

    def __init__(self, message: str, details: str = ''):
        super().__init__(message)
        self.details = details
