"""What can keep a cluster from running.

ClusterError
├── Unavailable    this machine lacks what it takes: nothing to mend in the project
├── BuildFailed    Go did not build a binary
└── NotReady       a component or an object did not become what it should in time
"""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot run."""


class Unavailable(ClusterError):
    """This machine lacks something. The message names it and how to get it."""


class BuildFailed(ClusterError):
    """The message holds the end of what Go said."""


class NotReady(ClusterError):
    """The message says what was waited for, and how long."""
