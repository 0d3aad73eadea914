"""python train.py --config sigma_vae --data.name FOLDER --data.image_size 64

The sigma-VAE of Rybkin et al. 2021 (arXiv 2006.13202): a Gaussian likelihood with one learned sigma for all
pixels, which weighs distortion against rate by itself.
"""
