"""How is each kind of source read? Files and folders of one's own, and TensorFlow Datasets.

- ``files``: a path. ``folders``: which files of a folder are images. ``splits``: which set trains, by name.
- ``decoding``: a file to an image. ``resizing``: its size and colours. ``arrays``: an array to images.
- ``idx``, ``tfrecord``, ``amat``: three formats. ``tfds``: a prepared set of TensorFlow Datasets.
"""
