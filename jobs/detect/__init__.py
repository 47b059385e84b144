"""Finds objects in images: detectors, their outputs, and the files and pictures made of them."""
