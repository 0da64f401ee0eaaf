"""transformers' own way with videos, in a process of its own: it needs torchvision.

``python video_reference.py REQUEST ANSWER``: both are files of ``torch.save``. The wheel of
torchvision for another torch imports once two operators are declared; see
``tests/tools/test_video.py``.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

_LIBRARY = torch.library.Library("torchvision", "DEF")
_LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_LIBRARY.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def indices(request: dict[str, Any]) -> list[list[int]]:
    """The frames that the family samples, for each length and frame rate."""
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    processor = Qwen2VLVideoProcessor()
    return [
        processor.sample_frames(VideoMetadata(total, fps=fps), fps=2).tolist()
        for total, fps in request["lengths"]
    ]


def inputs(request: dict[str, Any]) -> dict[str, Any]:
    """What the published processor makes of a question with a video."""
    import transformers
    from transformers import AutoTokenizer
    from transformers.video_utils import VideoMetadata

    names = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}
    family, folder = request["family"], request["folder"]
    reader = "Qwen3VL" if family == "qwen3_vl" else "Qwen2VL"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    processor = getattr(transformers, f"{names[family]}Processor")(
        image_processor=transformers.AutoImageProcessor.from_pretrained(folder),
        tokenizer=tokenizer,
        video_processor=getattr(transformers, f"{reader}VideoProcessor")(size=request["size"]),
    )
    text = tokenizer.apply_chat_template(
        request["turns"], tokenize=False, add_generation_prompt=True
    )
    out = processor(
        text=[text],
        videos=[request["frames"]],
        video_metadata=[VideoMetadata(**request["metadata"])],
        do_sample_frames=False,
        return_mm_token_type_ids=True,
        return_tensors="pt",
    )
    return dict(out)


if __name__ == "__main__":
    asked = torch.load(sys.argv[1], weights_only=False)
    torch.save({"indices": indices, "inputs": inputs}[asked["what"]](asked), sys.argv[2])
