"""Datasets on disk: the folder, columns of frames, files written whole or not at all."""
