"""Settings that several recipes in `configs/` share, most of them from MMAction2."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.errors import InputError


class Variant(NamedTuple):
    """A row of a `VARIANTS` table: the function that makes the recipe, and its published results.

    `mmaction_name` is the config's name in MMAction2. `checkpoint` is the date and hash at the end
    of the published weights' file name, or the complete file name where it has another pattern.
    `top1` and `top5` are percentages from MMAction2's README; none was measured here. An empty
    string or 0 means that nothing was published.
    """

    recipe: Callable[[ConfigDict], None]
    mmaction_name: str = ""
    checkpoint: str = ""
    top1: float = 0.0
    top5: float = 0.0
    note: str = ""  # a remark that `jaxaction zoo` prints, such as a contradiction in MMAction2

    @property
    def file(self) -> str:
        """The file name of the published weights; empty if there are none."""
        complete = self.checkpoint.endswith(".pth") or not self.checkpoint
        return self.checkpoint if complete else f"{self.mmaction_name}_{self.checkpoint}.pth"

    @property
    def reference(self) -> str:
        """The name of `mmaction_name` in version 0.1, which users' own tables may still use."""
        return self.mmaction_name


def apply(variants: dict[str, Variant], variant: str, config: ConfigDict) -> None:
    """Changes `config` to the recipe `variant`; an empty name changes nothing.

    InputError for an unknown name lists the known ones.
    """
    if variant and variant not in variants:
        raise InputError(f"unknown variant {variant!r}; there is {', '.join(variants)}")
    if variant:
        variants[variant].recipe(config)


def kinetics(config: ConfigDict, clips_per_gpu: int, epochs: int) -> None:
    """Turns the defaults into the settings that MMAction2's Kinetics-400 recipes share, on 8 GPUs.

    224x224 crops of frames with a short side of 256, flips, SGD, gradient norms clipped at 40,
    batch norm over `clips_per_gpu` clips, TF32 like PyTorch's convolutions. The lists of videos,
    `data.train_file`, `data.test_file` and `data.root`, must be set on the command line.
    """
    # Their learning rates belong to 8 GPUs. `optim.reference_batch` keeps the rate of a clip when a
    # user sets another `train.batch_size`.
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
    """Divides the learning rate by 10 at each of the epochs `milestones`."""
    config.optim.update(decay="steps", milestones=milestones, decay_epochs=0.0)


def warmup(config: ConfigDict, epochs: float) -> None:
    """Raises the learning rate once an epoch, from a tenth of it; 1 epoch: no warm-up."""
    config.optim.update(warmup_epochs=epochs, warmup_by="epoch")


def something_something(config: ConfigDict) -> None:
    """Sets the 174 classes of Something-Something V2; six of them name a direction."""
    config.model.num_classes = 174
    # A mirrored video of "from left to right" belongs to "from right to left".
    config.data.flip_labels = ((86, 87), (93, 94), (166, 167))


def dense(config: ConfigDict, test_len: int = 0) -> None:
    """Takes clips from a window of 64 frames: at random in training, at ten places in tests.

    Segments are spread over the window, with `test_len` of them in tests (0: as many as in
    training). Other samplings keep their `clip_len` and `frame_interval`.
    """
    window = 64  # MMAction2's DenseSampleFrames
    if config.data.sampling == "segments":
        config.data.frame_interval = window // config.data.clip_len
        test_len = test_len or config.data.clip_len
        config.test.update(clip_len=test_len, frame_interval=window // test_len)
    config.data.sampling = "dense"
    config.val.num_clips = config.test.num_clips = 10


def non_local(config: ConfigDict, mode: str, blocks: tuple, use_scale: bool) -> None:
    """Adds non-local blocks after the marked `blocks`; `mode`: one of `models.non_local.MODES`."""
    config.model.non_local = blocks
    config.model.non_local_cfg = {
        "mode": mode,
        "norm": True,
        "sub_sample": True,
        "use_scale": use_scale,
    }


def flow(config: ConfigDict, channels: int) -> None:
    """Reads optical flow instead of colours: x and y of one or more frames, as channels."""
    config.model.in_channels = channels
    config.data.update(modality="flow", stack=channels // 2)
    # Flow is stored in 8 bits around 128, so this gives -1 to 1, as in MMAction2.
    config.data.update(mean=(128.0,) * channels, std=(128.0,) * channels)


def finetune(config: ConfigDict, learning_rate: float) -> None:
    """Trains for twenty epochs on a user's own videos, from the weights of `init_from`.

    `learning_rate` belongs to a batch of 32 clips. The classes are those of the videos.
    """
    warmup(config, epochs=1.0)
    steps(config, (12.0, 18.0))
    config.train.update(batch_size=32, epochs=20.0, eval_every_epochs=1)
    config.optim.update(learning_rate=learning_rate, reference_batch=32)


def thirty_views(config: ConfigDict) -> None:
    """Tests as the 3D families do: ten clips along the video, each in three crops of 256x256."""
    config.test.update(num_clips=10, crops="three", size=(256, 256))


# The width and blocks of published networks; the defaults of `configs/` are smaller, for CPUs. An
# empty `stage_blocks` means those of the depth.
FULL_SIZE = {"stage_blocks": (), "width": 64}


def torchvision(config: ConfigDict) -> None:
    """Takes clips as torchvision's video networks: 16 frames of 112x112, five centre crops a video.

    torchvision resizes frames to 128x171; a short side of 128 does the same for 4:3 videos.
    """
    config.data.update(clip_len=16, frame_interval=2, short_side=128, size=(112, 112))
    config.test.update(num_clips=5, crops="center", size=(112, 112))
