"""What do operating systems do in different ways, and what do files, locks and consoles need? Without JAX.

- ``platforms``: calls that one system lacks.
- ``paths``: which path a person means; the user's cache folder.
- ``atomic_files``: files that are whole at any moment.
- ``lock``: is another process at work in a folder?
- ``console``: output that nobody reads, or nobody can.
- ``library_output``: what libraries print that is said here in one line.

Knows nothing of images, models or runs.
"""
