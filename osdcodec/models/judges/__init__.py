"""Networks that only look at pictures, and are never trained here: LPIPS, DISTS, and the features under a discriminator."""
