#!/bin/sh
# Qwen2-VL-7B on one card of 24 GB or more. Not tried by this project.
# pip install vllm
exec vllm serve Qwen/Qwen2-VL-7B-Instruct \
    --host 127.0.0.1 --port 8000 \
    --max-model-len 16384 \
    --gpu-memory-utilization 0.92 \
    --limit-mm-per-prompt '{"image": 4, "video": 0}'
