"""The pieces that the recipes in `configs/` share, most of them MMAction2's."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError


class Variant(NamedTuple):
    """A recipe of a `VARIANTS` table: what it changes, and its published results.

    `mmaction_name` is MMAction2's name of the config. `checkpoint` ends the file name of the
    published weights: their date and hash, or the complete name if it doesn't follow the pattern.
    `top1` and `top5` are percentages from MMAction2's README; none was measured here. An empty
    string or 0 means that nothing was published.
    """

    recipe: Callable[[ConfigDict], None]
    mmaction_name: str = ""
    checkpoint: str = ""
    top1: float = 0.0
    top5: float = 0.0
    note: str = ""  # where MMAction2's table, config or file name is at odds with itself

    @property
    def file(self) -> str:
        """The published weights' file name; empty without any."""
        complete = self.checkpoint.endswith(".pth") or not self.checkpoint
        return self.checkpoint if complete else f"{self.mmaction_name}_{self.checkpoint}.pth"

    @property
    def reference(self) -> str:
        """`mmaction_name` under its name of version 0.1, for tables of users' own."""
        return self.mmaction_name


def apply(variants: dict[str, Variant], variant: str, config: ConfigDict) -> None:
    """Changes `config` to the recipe of that name; an unknown one is an InputError that lists the
    known ones, an empty one changes nothing."""
    if variant and variant not in variants:
        raise InputError(f"unknown variant {variant!r}; there is {', '.join(variants)}")
    if variant:
        variants[variant].recipe(config)


def kinetics(config: ConfigDict, clips_per_gpu: int, epochs: int) -> None:
    """Turns the defaults into what MMAction2's Kinetics-400 recipes share, on 8 GPUs.

    224x224 crops of frames whose short side is 256, flips, SGD, gradient norms clipped at 40, batch
    norm over `clips_per_gpu` clips, TF32 like PyTorch's convolutions. The lists of clips,
    `data.train_file`, `data.test_file` and `data.root`, must be set on the command line.
    """
    batch = 8 * clips_per_gpu
    config.model.update(num_classes=400, bn_group=clips_per_gpu, dropout=0.5)
    config.model.update({key: value for key, value in FULL_SIZE.items() if key in config.model})
    config.data.update(source="annotations", name="", train_split="", test_split="")
    config.data.update(crop="random_resized", short_side=256, size=(224, 224), flip=0.5)
    config.data.num_threads = 16
    config.train.update(batch_size=batch, epochs=epochs, eval_every_epochs=5)
    config.train.update(log_every_steps=20, checkpoint_every_steps=1000)
    config.optim.update(name="sgd", reference_batch=batch, weight_decay=1e-4, clip_norm=40.0)
    config.optim.update(warmup_epochs=0.0, decay_by="epoch")
    config.compute = "tf32"


def steps(config: ConfigDict, milestones: tuple[float, ...]) -> None:
    """Divides the learning rate by 10 at each of these epochs."""
    config.optim.update(decay="steps", milestones=milestones, decay_epochs=0.0)


def warmup(config: ConfigDict, epochs: float) -> None:
    """Warms up in one step an epoch, from a tenth of the learning rate; 1 epoch: no warm-up."""
    config.optim.update(warmup_epochs=epochs, warmup_by="epoch")


def something_something(config: ConfigDict) -> None:
    """The 174 classes of Something-Something V2; six of them name a direction."""
    config.model.num_classes = 174
    config.data.flip_labels = ((86, 87), (93, 94), (166, 167))


def dense(config: ConfigDict, test_len: int = 0) -> None:
    """Takes clips from a window of 64 frames: at random in training, at ten places in tests.

    Segments are spread over the window; their test clips have `test_len` frames (0: as many as in
    training). Other samplings keep their `clip_len` and `frame_interval`.
    """
    window = 64
    if config.data.sampling == "segments":
        config.data.frame_interval = window // config.data.clip_len
        test_len = test_len or config.data.clip_len
        config.test.update(clip_len=test_len, frame_interval=window // test_len)
    config.data.sampling = "dense"
    config.val.num_clips = config.test.num_clips = 10


def non_local(config: ConfigDict, mode: str, blocks: tuple, use_scale: bool) -> None:
    """Non-local blocks after these `blocks`; `mode` is one of `models.non_local.MODES`."""
    config.model.non_local = blocks
    config.model.non_local_cfg = {
        "mode": mode,
        "norm": True,
        "sub_sample": True,
        "use_scale": use_scale,
    }


def flow(config: ConfigDict, channels: int) -> None:
    """Optical flow in place of colours: x and y of one or more frames, as channels."""
    config.model.in_channels = channels
    config.data.update(modality="flow", stack=channels // 2)
    config.data.update(mean=(128.0,) * channels, std=(128.0,) * channels)


def finetune(config: ConfigDict, learning_rate: float) -> None:
    """Twenty epochs on your own videos from the weights of `init_from`.

    The classes are those of the videos, the learning rate is that of a batch of 32 clips.
    """
    warmup(config, epochs=1.0)
    steps(config, (12.0, 18.0))
    config.train.update(batch_size=32, epochs=20.0, eval_every_epochs=1)
    config.optim.update(learning_rate=learning_rate, reference_batch=32)


def thirty_views(config: ConfigDict) -> None:
    """The test of the 3D families: ten clips along the video, each in three crops of 256x256."""
    config.test.update(num_clips=10, crops="three", size=(256, 256))


FULL_SIZE = {"stage_blocks": (), "width": 64}


def torchvision(config: ConfigDict) -> None:
    """The clips of torchvision's video networks: 16 frames of 112x112, five centred clips a video.

    Its frames are 128x171: 4:3 videos with a short side of 128.
    """
    config.data.update(clip_len=16, frame_interval=2, short_side=128, size=(112, 112))
    config.test.update(num_clips=5, crops="center", size=(112, 112))
