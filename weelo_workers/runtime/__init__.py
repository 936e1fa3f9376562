"""What `weelo up` runs on: embedded servers, the process supervisor, and the data dir that remembers both."""


class CommandError(Exception):
    """An expected problem that ends the command. Its text is one line that says what to do about it."""

    exit_code = 2
