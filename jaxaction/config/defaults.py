"""All config keys except most of the model's, with defaults that train on `motions` on a CPU.

The comment above a key is its documentation: `documentation.py` copies it to docs/config.md. The
keys of `model` are the fields of the network's class in `jaxaction/models`.
"""

from collections.abc import Mapping

from ml_collections import ConfigDict, FieldReference

# Model fields that only training uses. By default nothing is frozen and all activations are kept.
TRAINING = {"frozen_stages": -1, "norm_eval": False, "remat": ()}

# A value of a config, which keeps its type for life: "" and () mean that there is none.
Value = bool | int | float | str | tuple


def motions(model: Mapping[str, object]) -> ConfigDict:
    """Returns a config that trains `model` on `motions` in minutes on a CPU.

    `motions` has 12 classes of motion in videos of 64x64 pixels. Keys that `val` and `test` share
    with `data`, such as `size`, follow `data` until they are set; setting them leaves `data` as it
    is. `optim.decay_epochs` follows `train.epochs` in the same way.
    """
    data = ConfigDict(_data())
    train = ConfigDict(_train())
    optim = ConfigDict(
        {
            **_optim(),
            # Length of a cosine in epochs, counted from `decay_begin_epochs` on. It follows
            # `train.epochs` until it is set.
            "decay_epochs": train.get_oneway_ref("epochs"),
        }
    )
    test = {
        **_view(data),
        # Videos in memory at a time, over all processes, in validations and tests. It changes the
        # speed and not the result; 8 keeps a test with thirty views a video small.
        "batch_size": 8,
    }
    return ConfigDict(
        {
            "model": {**model, **TRAINING, "num_classes": 12},
            "data": data,
            "optim": optim,
            "train": train,
            "val": _view(data),
            "test": test,
            # Arithmetic of the network: `float32` (exact), `tf32` (as PyTorch's convolutions on
            # GPUs) or `bfloat16` (activations too). Parameters and statistics stay float32.
            "compute": "float32",
            # Directory of a run to take the weights from, such as one that `jaxaction convert`
            # made; empty: random weights. A classifier of other classes is replaced.
            "init_from": "",
        }
    )


def _data() -> dict[str, Value]:
    return {
        # Where videos come from: `tfds` (a TensorFlow Datasets name) or `annotations` (lists of
        # files). The default needs no download.
        "source": "tfds",
        # Name of the TFDS data set, as in `tfds.load`: `ucf101/ucf101_1:2.0.0`.
        "name": "motions",
        # Split of the TFDS data set to train on, such as `train` or `train[:10%]`.
        "train_split": "train",
        # Split of the TFDS data set for validations and tests.
        "test_split": "test",
        # Directory of prepared TFDS data sets; empty: TFDS's own, `TFDS_DATA_DIR` or
        # `~/tensorflow_datasets`.
        "data_dir": "",
        # TFDS feature that contains the video; empty: the only one. Set it where there are several.
        "video_feature": "",
        # TFDS feature that contains the label; empty: the only one. Set it where there are several.
        "label_feature": "",
        # List of training videos for `annotations`: one `path label` a line, or a csv.
        "train_file": "",
        # List of videos for validations and tests, in the same form.
        "test_file": "",
        # Folder that the paths in the lists are relative to; empty: the folder of each list.
        "root": "",
        # True: a video may have several labels. Scores are sigmoids, the loss is binary
        # cross-entropy, and the metric is mean average precision.
        "multi_label": False,
        # `rgb`, or `flow`: x and y of optical flow, read from folders of pictures.
        "modality": "rgb",
        # How frames are chosen, in training at random: `clips` (frames in a row), `segments` (one
        # of each of `clip_len` equal parts, for TSN and TSM), `dense` (a clip inside a window of 64
        # frames), or `uniform` (PySlowFast's segments).
        "sampling": "clips",
        # Frames of a clip, or segments of a video.
        "clip_len": 16,
        # Distance of two frames of a clip, in frames of the video; 1: every frame.
        "frame_interval": 1,
        # Frames in a row that are stacked as the channels of one (TSN's flow: 5). More than 1 needs
        # segments.
        "stack": 1,
        # Frames after the end of a short video: `loop` (the beginning again, as in MMAction2) or
        # `repeat_last` (the last frame).
        "past_end": "loop",
        # Frames per second at which `clips` are counted, whatever the video's own rate is (30 in
        # PySlowFast); 0: the video's own.
        "target_fps": 0.0,
        # Length in pixels to which the shorter side of a frame is resized before the crop. The
        # default leaves a random crop of 64 some room; Kinetics recipes have 256 for 224.
        "short_side": 72,
        # Training crop: `random` (of `size`), `random_resized` (8 to 100 % of the area),
        # `multi_scale` and `multi_scale_13` (TSN's four scales at 5 or 13 places), or `two_scale`.
        "crop": "random",
        # (height, width) of a clip in pixels.
        "size": (64, 64),
        # Probability that a training clip is mirrored left to right. 0 for `motions`, where the
        # mirrored video belongs to another class; Kinetics recipes have 0.5.
        "flip": 0.0,
        # Pairs of labels that a mirrored clip exchanges, such as `((86, 87),)` for "pushing from
        # left to right" and "from right to left".
        "flip_labels": (),
        # Strengths of random brightness, contrast, saturation (0 to 1) and hue (0 to 0.5), such as
        # `(0.4, 0.4, 0.4, 0.1)`; empty: none.
        "color_jitter": (),
        # RandAugment: (operations per clip, magnitude from 0 to 10), such as `(2, 9)`; empty: none.
        "rand_augment": (),
        # Probability that a random box of a training clip is erased.
        "random_erasing": 0.0,
        # Mean of each channel, on the scale 0 to 255, that is subtracted. The default is that of
        # ImageNet, which published weights expect.
        "mean": (123.675, 116.28, 103.53),
        # Standard deviation of each channel, which the difference is divided by; also ImageNet's.
        "std": (58.395, 57.12, 57.375),
        # Threads of each process that decode videos; 0: none, the main thread decodes. Use the
        # number of CPU cores.
        "num_threads": 2,
        # Share of unreadable videos, 0 to 1, above which a run or a test stops; above 0 it always
        # allows one. The default accepts a data set with a few damaged files, and stops if a wrong
        # `data.root` makes most videos unreadable.
        "max_bad_share": 0.1,
    }


def _train() -> dict[str, Value]:
    return {
        # Clips per step, over all devices and processes.
        "batch_size": 16,
        # Length of the run in passes over the training videos; fractions are possible.
        "epochs": 6.0,
        # Seed of initial weights, shuffling, augmentation and dropout.
        "seed": 0,
        # Strength of mixup, the alpha of its Beta distribution (Zhang et al. 2018); 0: off. With
        # cutmix too, one of the two is drawn for each batch.
        "mixup": 0.0,
        # Strength of cutmix, the alpha of its Beta distribution (Yun et al. 2019); 0: off.
        "cutmix": 0.0,
        # Share of each label, 0 to 1, that is spread evenly over all classes.
        "label_smoothing": 0.0,
        # Weight of each class in the loss, one number per class; empty: all weights are 1.
        "class_weights": (),
        # Decay of the moving average of weights and statistics, such as 0.9998; 0: no average.
        # Tests, `predict` and `init_from` use the average if there is one.
        "ema_decay": 0.0,
        # Parts of a batch that go through the network one after the other, so that a batch larger
        # than the memory fits; 1: the whole batch at once. Gradients are averaged before the step,
        # and `train.batch_size` stays the size of the whole batch.
        "accumulate": 1,
        # Training clips from which batch norm's statistics are computed again before each test and
        # save (Wu and Johnson 2021; PySlowFast takes 200 batches); 0: the running averages of
        # training. Norms that `model.norm_eval` freezes keep theirs.
        "precise_bn_clips": 0,
        # Steps between two lines of progress, which are also points of the curves.
        "log_every_steps": 10,
        # Epochs between two validations; 0: none. After the last step the test takes their place.
        "eval_every_epochs": 2,
        # Steps between two checkpoints. An interrupted run repeats at most this many.
        "checkpoint_every_steps": 50,
        # Number of newest checkpoints that are kept. 2, so that one is left if a file is damaged.
        "keep": 2,
        # Validation metric that decides which weights go to the folder `best`: `top1`, `top5`,
        # `mean_class_accuracy`, with several labels `mean_average_precision` or
        # `mmit_mean_average_precision`; `auto`: the first of its kind; empty: no such folder.
        "best_by": "auto",
        # Validations in a row without a better value that end the run; 0: it never ends early.
        "patience": 0,
        # Seconds after which a step that still runs prints the stacks of all threads; 0: never. The
        # run goes on waiting, since a slow network disk may come back. The default is longer than
        # any normal step.
        "hang_seconds": 600.0,
        # Loss that ends the run, as a multiple of the loss of guessing, log(classes); 0: none. The
        # default is far above a hard batch, and a run that diverges soon exceeds it. A loss that is
        # not finite always ends the run.
        "max_loss_factor": 50.0,
        # True: the same bits in each run on GPUs, more slowly. CPUs always give the same bits.
        "deterministic": False,
    }


def _optim() -> dict[str, Value]:
    return {
        # `sgd`, `adam`, or `adamw` (decoupled weight decay).
        "name": "adam",
        # Highest learning rate, that of a batch of `reference_batch` clips. The default suits Adam
        # on small networks; recipes with SGD have 0.01 to 0.4.
        "learning_rate": 4e-3,
        # Batch size that `learning_rate` was chosen for. The rate is multiplied by
        # `train.batch_size` and divided by this (Goyal et al. 2017), so that a recipe for 8 GPUs
        # runs on one; 0: the rate stays as it is.
        "reference_batch": 0,
        # Momentum of SGD. Adam has betas 0.9 and 0.999 in any case.
        "momentum": 0.9,
        # Weight decay, which `sgd` and `adam` add to the gradient as PyTorch's optimizers do.
        "weight_decay": 0.0,
        # Largest norm of all gradients together, to which larger ones are scaled; 0: no clipping.
        "clip_norm": 0.0,
        # Rows (regular expression of a parameter's path, factor of the learning rate, factor of
        # weight decay). The first row that matches counts; without one both factors are 1.
        "multipliers": (),
        # Length of the warm-up in epochs; 0: none, or `warmup_samples`.
        "warmup_epochs": 0.5,
        # Length of the warm-up in clips, for recipes that give it so. Needs `warmup_epochs` 0.
        "warmup_samples": 0,
        # Share of the learning rate with which the warm-up starts.
        "warmup_start": 0.1,
        # The rate rises with every `step`, or once an `epoch`.
        "warmup_by": "step",
        # How the rate falls: `cosine` (to 0), `steps` (at `milestones`), or `constant`.
        "decay": "cosine",
        # Epoch in which a cosine begins. With 0 it runs from the first step on, also during the
        # warm-up.
        "decay_begin_epochs": 0.0,
        # A cosine falls with every `step`, or once an `epoch`.
        "decay_by": "step",
        # Epochs at which `steps` multiplies the rate by `gamma`, such as `(40.0, 80.0)`.
        "milestones": (),
        # Factor of the rate at each milestone.
        "gamma": 0.1,
    }


def _view(data: ConfigDict) -> dict[str, Value | FieldReference]:
    """The keys that `val` and `test` share; those of `data` follow it."""
    frames = ("modality", "sampling", "clip_len", "frame_interval", "stack")
    same = (*frames, "past_end", "target_fps", "short_side", "size")
    return {
        **{key: data.get_oneway_ref(key) for key in same},
        # Clips per video, spread over its length. With segments 1, or 2 for a second, shifted view.
        "num_clips": 1,
        # Where clips lie: `ends` (the first at the beginning, the last at the end, as MMAction2
        # 1.x) or `centers` (in the middles of equal parts, as 0.x).
        "placement": "ends",
        # Crops per clip: `center`, `three` (along the longer side), or `ten` (four corners, the
        # centre, and all five mirrored).
        "crops": "center",
        # How the scores of a video's views become one: `prob` (mean of probabilities, as in most
        # recipes) or `score` (mean of logits, as in TSN's, which averages before the softmax).
        "average": "prob",
        # (height, width) in cells of the features that make one row of scores each, as in
        # PySlowFast's fully convolutional test; empty: all cells make one row.
        "window": (),
    }
