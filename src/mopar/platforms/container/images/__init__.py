"""Images of a bundle's functions and of its gateway: build contexts that podman and docker take.

Functions share two layers, Python and what runs in every function; a function's own files are the last. No layer has a
package manager, and none is fetched from a registry: Python and ONNX Runtime are those of this machine, with which the
functions were measured.
"""
