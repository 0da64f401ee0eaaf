#!/bin/sh
# Qwen2.5-VL-7B with SGLang on one card; --tp 4 splits a larger model over four. Not tried by
# this project.
# pip install sglang
exec python3 -m sglang.launch_server \
    --model-path Qwen/Qwen2.5-VL-7B-Instruct \
    --host 127.0.0.1 --port 30000 \
    --context-length 16384
