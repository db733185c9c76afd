"""The trained autoencoder: ``codec`` is in the registry, ``state`` the weights, ``training`` alone needs PyTorch."""

from mopar.codecs.autoencoder.codec import AUTOENCODER

__all__ = ["AUTOENCODER"]
