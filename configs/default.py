"""Every setting, with its unit and its published value.

Other config files change only what differs. Any setting can also be changed on the
command line: `--config.batch_size=4`, `--config.data.path=/data/horse2zebra`.
"""

import importlib
from collections.abc import Sequence

import ml_collections


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Returns CycleGAN as published, at 256x256; the data set is left to name."""
    config = ml_collections.ConfigDict()
    config.method = "cyclegan"  # What is trained: see docs/methods.md.
    config.direction = "AtoB"  # Of methods with one direction: AtoB or BtoA.
    config.seed = 0  # A run is a function of the config, this seed and the step.
    config.init_from = ""  # Folder of a run whose newest networks this one starts from.
    config.batch_size = 1  # Images of each domain in a step, over all devices.
    config.pool_size = 50  # Generated images remembered, over all slots; 0: none.
    config.deterministic = True  # The same bits every time; on GPU some speed less.
    config.compute_dtype = "float32"  # Or bfloat16; parameters are always float32.
    config.remat = False  # Recompute residual blocks in the backward pass: less memory.
    config.accumulate = 1  # Parts a device's batch is split into: less memory.
    config.ema_decay = 0.0  # Moving average of the generators, 0.999 say; 0: none.

    config.data = data = ml_collections.ConfigDict()
    data.dataset = "folder"  # streets, folder, side_by_side, cityscapes, or
    #   cycle_gan/<TFDS config>.
    data.path = ""  # Folder, .zip archive or prepared TFDS directory; "": look around.
    data.data_dir = "~/tensorflow_datasets"  # Where prepared TFDS data sets live.
    data.train_a = ""  # With dataset=folder: any folder of images, instead of path.
    data.train_b = ""
    data.test_a = ""
    data.test_b = ""
    data.channels_a = 3  # 1 (grey), 3 (colour) or 4 (with transparency).
    data.channels_b = 3
    data.preprocess = "resize_and_crop"  # Or crop, scale_width, scale_width_and_crop,
    #   none: see docs/data.md.
    data.load_size = 286  # Pixels; images are resized to this,
    data.crop_size = 256  # pixels; and a random square of this is cut out.
    data.flip = True  # Mirror half of the images.
    data.sample_b = "random"  # Partner of an image of A: random or shuffle.
    data.paired = False  # Image i of A and of B belong together; pix2pix needs that.
    data.max_images = 0  # Use at most so many of each split; 0: all.
    data.palette = ""  # File of class colours, if B's images are label maps.
    data.cache_gib = 8.0  # Decoded images kept in memory, GiB; 0: decode every time.
    data.fingerprint = True  # Read all images once at the start, for run.json.
    data.on_corrupt = "stop"  # Or skip: leave unreadable images out, with a warning.
    data.streets_size = 64  # With dataset=streets: side of the images, 32 to 512,
    data.streets_train = 400  # images in each training split,
    data.streets_test = 100  # pairs in the test split,
    data.streets_seed = 0  # seed of the scenes.

    config.generator = generator = ml_collections.ConfigDict()
    generator.name = "resnet_9blocks"  # resnet_<n>blocks or unet_<size>.
    generator.width = 64  # Channels after the first convolution.
    generator.norm = "instance"  # Or instance_affine, batch, none.
    generator.reflect = True  # ResNet: mirrored padding; or zeros.
    generator.outer_kernel = 7  # ResNet: size of the first and last convolution,
    generator.down_kernel = 3  # and of those that halve the image: 3 or 4.
    generator.dropout = False  # Half of the values, where the reference has it.
    generator.init_type = "normal"  # Or xavier, kaiming, orthogonal.
    generator.init_gain = 0.02  # Deviation (normal) or factor (xavier, orthogonal).

    config.discriminator = discriminator = ml_collections.ConfigDict()
    discriminator.name = "basic"  # 70x70 patches; or n_layers, pixel.
    discriminator.n_layers = 3  # With name=n_layers: 1 to 6.
    discriminator.width = 64  # Channels after the first convolution.
    discriminator.stem_kernel = 0  # Size of one more convolution at the start; 0: none.
    discriminator.score_kernel = 4  # Of the last convolution; or 1, for a finer map.
    discriminator.norm = "instance"
    discriminator.init_type = "normal"
    discriminator.init_gain = 0.02

    config.loss = loss = ml_collections.ConfigDict()
    loss.gan_mode = "lsgan"  # Or vanilla, hinge, wgangp.
    loss.gan = 1.0  # Weights; a term with weight 0 is not computed.
    loss.cycle_a = 10.0  # A -> B -> A.
    loss.cycle_b = 10.0  # B -> A -> B.
    loss.identity = 0.5  # Fraction of the cycle weight, so 5.0 in effect.
    loss.gradient_penalty = 10.0  # With wgangp only.
    loss.l1 = 100.0  # pix2pix: distance to the true image.
    loss.content = 10.0  # simgan, feature_gan: distance to the input.
    loss.vgg = ""  # feature_gan: file of torchvision's VGG-16, or "random" weights.
    loss.vgg_sha256 = "397923af"  # What the SHA-256 of that file must begin with.
    loss.vgg_size = 224  # Pixels; images are resized to this for it.
    loss.vgg_lua_gradient = False  # Its gradient divided by 127.5^2, as released.

    config.cogan = cogan = ml_collections.ConfigDict()
    cogan.latent_size = 100  # Numbers that a pair of images is drawn from.
    cogan.inversion_steps = 200  # Of Adam, to translate an image,
    cogan.inversion_rate = 0.05  # with this learning rate.

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.learning_rate = 2e-4  # Adam's, for all networks.
    optimizer.beta1 = 0.5
    optimizer.beta2 = 0.999
    optimizer.weight_decay = 0.0  # Added to the gradient, as in PyTorch's Adam.
    optimizer.policy = "linear"  # Or linear_2020, linear_lua, step, cosine, constant.
    optimizer.constant_epochs = 100  # An epoch is max(|A|, |B|) / batch_size steps.
    optimizer.decay_epochs = 100
    optimizer.step_epochs = 50  # With policy=step: epochs between divisions by 10.

    config.test_dropout = True  # pix2pix: noise in translations, as published.
    config.test_statistics = "image"  # And batch norm by the one image; or running.

    config.max_steps = 0  # Stop after so many steps; 0: after all epochs.
    config.log_every_steps = 100  # Means of the losses go to metrics.jsonl.
    config.sample_every_steps = 1000  # Sample grids and index.html; 0: never.
    config.evaluate_every_steps = 0  # Metrics of the test split; 0: never.
    config.best_metric = ""  # Keep the best checkpoint by it: AtoB/per_pixel, say.
    config.num_samples = 4  # Test images of each domain in a sample grid.
    config.checkpoint_every_steps = 5000  # 0: only at the end.
    config.keep_checkpoints = 3  # The newest so many,
    config.keep_every_steps = 0  # and one every so many steps for good; 0: none.

    config.evaluation = evaluation = ml_collections.ConfigDict()  # In the training.
    evaluation.inception = "none"  # FID and KID: auto, or the file of the weights.
    evaluation.fid_reference = "test"  # Or train+test, or both with a comma.
    evaluation.fcn = "none"  # Scores of generated photographs: train_fcn's file.
    evaluation.lpips = ""  # The weights' two files, with a comma.
    return variant_of(config, variant)


def smoke(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Shrinks a config so that a run takes seconds: 8 steps of tiny networks.

    What the config is about (the data, the method, the losses) stays.
    """
    config.data.load_size, config.data.crop_size = 36, 32
    config.data.max_images = 8
    config.data.streets_size = 32
    config.data.streets_train, config.data.streets_test = 8, 4
    kind, _, _ = config.generator.name.partition("_")
    if kind in ("unet", "coupled"):
        config.generator.name = f"{kind}_32"
    else:
        config.generator.name = "resnet_1blocks"
    config.generator.width = config.discriminator.width = 8
    if config.discriminator.name not in ("pixel", "coupled"):
        config.discriminator.name, config.discriminator.n_layers = "n_layers", 2
    config.optimizer.constant_epochs = config.optimizer.decay_epochs = 1
    config.max_steps = 8
    config.log_every_steps, config.sample_every_steps = 2, 4
    config.checkpoint_every_steps, config.keep_every_steps = 4, 0
    if config.evaluate_every_steps:
        config.evaluate_every_steps = 4
    config.num_samples = 2
    if config.method == "feature_gan":
        config.loss.vgg, config.loss.vgg_size = "random", 16
    config.cogan.inversion_steps = 8
    config.batch_size = min(config.batch_size, 2)
    return config


def choose(variant: str, *kinds: Sequence[str]) -> list[str]:
    """Divides a variant such as `facades+BtoA+smoke` into a choice of each kind.

    Args:
      variant: choices in any order, with plus signs between them.
      *kinds: what can be chosen; the first of a kind is what counts if none is.

    Raises:
      ValueError: a part of it cannot be chosen, or two exclude each other.
    """
    parts = set(filter(None, variant.split("+")))
    chosen = []
    for kind in kinds:
        found = parts & set(kind)
        if len(found) > 1:
            raise ValueError(f"variant {variant!r}: choose one of {', '.join(found)}")
        chosen.append(found.pop() if found else kind[0])
    if unknown := parts.difference(*kinds):
        known = ", ".join(name for kind in kinds for name in kind if name)
        raise ValueError(
            f"unknown variant {', '.join(sorted(unknown))!r}; there are {known}, and"
            " combinations with a plus sign"
        )
    return chosen


def of_data(name: str, direction: str = "AtoB") -> ml_collections.ConfigDict:
    """Returns the config of a data set, for another method to be trained on it.

    Args:
      name: of a config file, such as streets.
      direction: which a method with one direction is to learn.
    """
    config = importlib.import_module(f"configs.{name}").get_config()
    config.direction = direction
    if not config.best_metric.startswith(direction):
        config.best_metric = ""  # It would not be measured.
    return config


def variant_of(
    config: ml_collections.ConfigDict, variant: str
) -> ml_collections.ConfigDict:
    """Applies the variant after the colon in `--config=configs/name.py:variant`.

    Raises:
      ValueError: there is no such variant.
    """
    if variant == "smoke":
        return smoke(config)
    if variant:
        raise ValueError(f"unknown variant {variant!r}; the only one here is 'smoke'")
    return config
