"""What do operating systems do in different ways, and what do files, locks and consoles need? Without JAX.

- ``platforms``: calls that differ between operating systems.
- ``paths``: which path an argument means; the user's cache folder.
- ``atomic_files``: files that are replaced whole.
- ``lock``: is another process using a folder?
- ``signals``: Ctrl-C, SIGTERM, SIGHUP.
- ``console``: standard output that may be closed or full.
- ``third_party_output``: output of libraries that is suppressed.

Knows nothing of images, models or runs.
"""
