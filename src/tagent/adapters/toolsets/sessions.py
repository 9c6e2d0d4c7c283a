"""What can become of a session with a server."""


class StaleSessionError(Exception):
    """The server does not know the session any more, so it did not do what it was asked. Never leaves the adapter."""
