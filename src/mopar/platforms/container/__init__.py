"""Containers of this machine, by podman or docker: one for each function, and one for the gateway."""
