#!/bin/sh
# Qwen2-VL-2B in 4 bits with llama.cpp, on a CPU or a GPU. Not tried by this project. Files of
# your own: llama-server -m model.gguf --mmproj mmproj.gguf; without the second it sees no picture.
exec llama-server -hf ggml-org/Qwen2-VL-2B-Instruct-GGUF \
    --host 127.0.0.1 --port 8080 \
    -c 16384
