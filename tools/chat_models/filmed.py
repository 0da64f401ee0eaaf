"""A video as the Qwen family reads it: two frames to a patch, and how many tokens it may have.

Stands in for the video part of the family's processors, which needs torchvision: each frame goes
through the picture part's own steps. Knows no words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..video import Video, thinned

__all__ = ["FrameProcessor", "array_of", "fitting", "metadata_of"]

_LEAST, _MOST = 128, 768  # published bounds of the tokens of a pair of frames


def fitting(video: Video, tokens: int) -> Video:
    """As many of a video's frames as can be told apart within so many tokens.

    Frames are made smaller down to 128 tokens a pair, the family's published bound; where that
    is still too much, fewer of them are taken, evenly, down to one pair.
    """
    return thinned(video, 2 * max(tokens // _LEAST, 1))


def array_of(video: Video) -> Any:
    """``uint8`` of the shape (frames, height, width, 3)."""
    return np.stack([np.asarray(frame) for frame in video.frames])


def metadata_of(video: Video) -> Any:
    """The times as transformers' processors read them: of a clock that ticks once a second."""
    from transformers.video_utils import VideoMetadata

    duration: Any = video.duration  # in ticks, so that frames of any rhythm keep their times
    return VideoMetadata(duration, fps=1.0, frames_indices=list(video.times))  # type: ignore[arg-type]


class FrameProcessor:
    """Makes a model's patches of the frames of videos.

    Args:
        image_processor: the model's own, for pictures.
    """

    model_input_names = ("pixel_values_videos", "video_grid_thw")

    def __init__(self, image_processor: Any) -> None:
        self._images = image_processor
        self.merge_size = int(image_processor.merge_size)
        self.temporal_patch_size = int(image_processor.temporal_patch_size)
        self._token = (int(image_processor.patch_size) * self.merge_size) ** 2  # in pixels

    def wanted(self, video: Video) -> int:
        """The tokens of a video whose frames keep their size, within the published bounds."""
        width, height = video.frames[0].size
        pairs = -(-len(video.frames) // self.temporal_patch_size)
        return pairs * self._tokens(height, width, _LEAST, _MOST)

    def _tokens(self, height: int, width: int, least: int, most: int) -> int:
        """Of frames that are brought between two bounds, which rounding may miss."""
        bounds = {"min_pixels": least * self._token, "max_pixels": most * self._token}
        patches = self._images.get_number_of_image_patches(height, width, bounds)
        return int(patches) // self.merge_size**2

    def _size(self, height: int, width: int, most: int) -> dict[str, int]:
        """The bounds in pixels for frames that may have so many tokens a pair."""
        most = min(max(most, 1), _MOST)
        least = min(_LEAST, most)
        if self._tokens(height, width, least, most) > most:  # rounded up; they stay small then
            least = 1
        return {"shortest_edge": least * self._token, "longest_edge": most * self._token}

    def __call__(
        self,
        videos: Sequence[Sequence[Any]],
        video_metadata: Sequence[Any],
        tokens: int,
        **_: Any,
    ) -> dict[str, Any]:
        """The inputs of a batch.

        Args:
            videos: of each question, see ``array_of``.
            video_metadata: of each video, see ``metadata_of``.
            tokens: the most that each video may have.

        Returns:
            ``pixel_values_videos`` of the shape (patches, values of a patch),
            ``video_grid_thw`` (videos, 3), and the metadata.
        """
        import torch

        patches, grids = [], []
        for frames in (frames for some in videos for frames in some):
            pairs = -(-len(frames) // self.temporal_patch_size)
            size = self._size(frames.shape[1], frames.shape[2], tokens // pairs)
            several = [self._pair(frames, n, size) for n in range(pairs)]
            patches += [values for values, _ in several]
            grids.append([pairs, *several[0][1]])
        return {
            "pixel_values_videos": torch.cat(patches),
            "video_grid_thw": torch.tensor(grids),
            "video_metadata": video_metadata,
        }

    def _pair(self, frames: Any, number: int, size: dict[str, int]) -> tuple[Any, list[int]]:
        """The patches of neighbouring frames, and how many there are in height and width."""
        import torch

        depth = self.temporal_patch_size
        each = [frames[min(number * depth + n, len(frames) - 1)] for n in range(depth)]
        out = self._images(
            images=each, size=size, input_data_format="channels_last", return_tensors="pt"
        )
        _, rows, columns = out["image_grid_thw"][0].tolist()
        # A picture's patches hold it once for each frame of a video's: of each, its own is taken.
        values = out["pixel_values"].reshape(depth, rows * columns, 3, depth, -1)
        joined = torch.stack([values[n, :, :, n] for n in range(depth)], dim=2)
        return joined.reshape(rows * columns, -1), [rows, columns]
