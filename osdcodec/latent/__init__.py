"""The codec family of the profiles `small` and `turbo`: a quantised latent, its hyper-latent and CLIP tokens."""
