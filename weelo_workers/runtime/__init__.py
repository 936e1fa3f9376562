"""What `weelo up` consists of: embedded servers, the process supervisor, and the data dir with the state of both."""


class CommandError(Exception):
    """An expected problem that ends the command. Its text is one line with what to do about it."""

    exit_code = 2
