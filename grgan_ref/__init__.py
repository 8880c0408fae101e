"""GR-GAN: Gradual Refinement Text-to-Image Generation (Yang, Feng, Wang 2022), to read and to run.

Beside the paper: `itm` (section 3.2), `generator`, `memory` and `discriminator` (section 3.1),
`losses` (Eq. 1-9), `gan_step` (one step of training), `config` (every hyperparameter).
"""
