#!/bin/sh
# Qwen2-VL-2B on one card. Not tried by this project.
# pip install vllm
exec vllm serve Qwen/Qwen2-VL-2B-Instruct \
    --host 127.0.0.1 --port 8000 \
    --max-model-len 16384 \
    --limit-mm-per-prompt '{"image": 4, "video": 0}'
