#!/bin/sh
# Qwen2-VL-72B over four cards of 80 GB: each holds a quarter of every layer. Not tried by this
# project. The checkpoints in 4 bits (AWQ, GPTQ) may refuse to be split over four cards.
# pip install vllm
exec vllm serve Qwen/Qwen2-VL-72B-Instruct \
    --host 127.0.0.1 --port 8000 \
    --tensor-parallel-size 4 \
    --max-model-len 32768 \
    --limit-mm-per-prompt '{"image": 8, "video": 0}'
