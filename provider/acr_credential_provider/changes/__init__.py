"""The only code that changes files of this machine: by an open folder that only root and this user can change.

Decision 21 lists the calls, and a test forbids them elsewhere. Imports the standard library only.
"""
