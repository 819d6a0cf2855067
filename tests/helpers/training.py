"""A recipe that trains every stage for a moment."""

CONFIG = """
[tower]
batch = 8
learning_rate = 1e-3
weight_decay = 0.1
[autoencoder]
pictures = 5
batch = 2
crop = 64
learning_rate = 1e-3
weight_decay = 0.0
latent_noise = 0.1
losses = { mse = 38.0, perceptual = 0.0 }
[codec]
pictures = 6
seed = 2
rate_factors = { prior = 3.0 }
crops = [[2, 192], [1, 192]]
learning_rate = 5e-4
weight_decay = 0.0
bpp = [0.024, 0.044, 0.065, 0.091, 0.12]
rate = [14.0, 8.0, 4.5, 2.5, 1.4]
steer = 0.005
adversary = { weight = 0.1, start = 0.3 }
[codec.losses]
mse = [30.0, 32.0, 34.0, 36.0, 38.0]
coarse = 4.0
relay = 0.5
ms_ssim = [3.0, 2.5, 2.0, 1.5, 1.0]
local_contrast = [3.0, 2.5, 2.0, 1.5, 1.0]
grid_artefacts = 100.0
perceptual = { weight = 1.0, share = 0.5, start = 0.3, stages = 2 }
[prior]
residual_gain = 1.0
pictures = 4
batch = 1
crop = 128
learning_rate = 3e-4
weight_decay = 0.0
[gain_tuning]
share = [0.0, 0.0, 0.0, 0.5, 1.0]
crop = 192
learning_rate = 4e-3
weight_decay = 0.0
[gain_tuning.losses]
mse = [10.0, 10.0, 10.0, 10.0, 10.0]
ms_ssim = [1.0, 1.0, 1.0, 1.0, 1.0]
local_contrast = [5.0, 5.0, 5.0, 5.0, 5.0]
[export]
pictures = 3
"""
